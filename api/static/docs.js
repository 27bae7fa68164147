// Starts Swagger UI on the document that the script tag names.
const script = document.currentScript;

window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: script.dataset.document,
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayOperationId: false,
    displayRequestDuration: true,
    docExpansion: "list",
    persistAuthorization: false,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
});
