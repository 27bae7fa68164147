"""What the portal talks to outside itself: a small class each, behind one small interface."""
