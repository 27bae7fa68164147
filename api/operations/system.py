"""The portal itself."""

from api.operations.parts import Operation, success

WITHOUT_DATABASE = {
    "success": False,
    "data": {
        "status": "unhealthy",
        "services": {"database": {"status": "unhealthy", "error": "Connection timeout"}, "redis": {"status": "healthy"}},
    },
}

OPERATIONS = {
    "system.health": Operation(
        answers={
            200: success(
                {
                    "status": "healthy",
                    "timestamp": "2025-11-12T11:00:00Z",
                    "version": "2.1.0",
                    "environment": "production",
                    "services": {
                        "database": {
                            "status": "healthy",
                            "error": None,
                            "provider": "postgresql",
                            "latency_ms": 15,
                            "connections": {"active": 25, "idle": 75, "unseen": 0, "max": 100},
                        },
                        "redis": {"status": "healthy", "error": None, "latency_ms": 3, "memory_used_mb": 245, "memory_max_mb": 1024},
                        "storage": {
                            "status": "healthy",
                            "error": None,
                            "provider": "s3",
                            "latency_ms": 41,
                            "used_gb": 450,
                            "quota_gb": None,
                            "files_gb": 450,
                            "files_count": 18211,
                            "files_counted_at": "2025-11-12T10:20:00Z",
                            "reasons": {"quota_gb": "A bucket has no limit of its own"},
                        },
                        "queue": {
                            "status": "healthy",
                            "error": None,
                            "pending_jobs": 15,
                            "due_jobs": 15,
                            "processing_jobs": 5,
                            "failed_jobs_24h": 2,
                            "oldest_wait_seconds": 4,
                            "workers_alive": 2,
                            "worker_threads": 8,
                        },
                        "backups": {
                            "status": "healthy",
                            "error": None,
                            "newest_verified_at": "2025-11-12T02:00:02Z",
                            "newest_age_seconds": 32398,
                            "backup_count": 9,
                            "verified_count": 9,
                            "damaged_count": 0,
                            "stored_gb": 3.4,
                            "disk_gb": 5.212,
                            "uploads_gb": 1.604,
                            "archive_gb": 0.208,
                            "replaced_gb": 0.0,
                            "disk_counted_at": "2025-11-12T10:31:07Z",
                            "every_hours": 24,
                            "archived_until": "2025-11-12T10:59:59.871204Z",
                        },
                    },
                    "metrics": {
                        "uptime_seconds": 2592000,
                        "request_count_24h": 145000,
                        "avg_response_time_ms": 125,
                        "p95_response_time_ms": 410,
                        "error_count_24h": 290,
                        "error_rate_percent": 0.2,
                        "web_processes": 4,
                    },
                }
            )
        }
    ),
}
