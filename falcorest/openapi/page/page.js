"use strict";
// The token is kept in this closure only: closing or reloading the page logs out, and nothing is
// left behind in the browser.
(() => {
  const { description, login } = document.body.dataset;
  const form = document.getElementById("login");
  const failure = document.getElementById("failure");
  const caller = document.getElementById("caller");
  let token = null;

  const ui = SwaggerUIBundle({
    url: description,
    domNode: document.getElementById("api"),
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    showMutatedRequest: false,
    // It would ask another site.
    validatorUrl: null,
    requestInterceptor: (request) => {
      // What the page fetches for itself: the description is that of the caller.
      if (token !== null && request.loadSpec) {
        request.headers.Authorization = `Bearer ${token}`;
      }
      return request;
    },
  });
  window.ui = ui;

  const enter = (name, value) => {
    token = value;
    form.hidden = value !== null || !login;
    caller.hidden = value === null;
    caller.querySelector("b").textContent = name;
    if (value === null) {
      ui.authActions.logout(["bearer"]);
    }
    ui.specActions.updateUrl(description);
    ui.specActions.download(description);
  };

  // Each description comes with new security schemes, to which the token is given again.
  let known = null;
  ui.getStore().subscribe(() => {
    const spec = ui.specSelectors.specJson();
    if (spec !== known && ui.specSelectors.loadingStatus() === "success") {
      known = spec;
      if (token !== null) {
        ui.preauthorizeApiKey("bearer", token);
      }
    }
  });

  form.hidden = !login;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    failure.textContent = "";
    const { username, password } = Object.fromEntries(new FormData(form));
    try {
      const answer = await fetch(login, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ username, password }),
        credentials: "omit",
      });
      const body = await answer.json();
      if (!answer.ok) {
        throw new Error(body.detail);
      }
      form.reset();
      enter(username, body.access_token);
    } catch (error) {
      failure.textContent = error.message;
    }
  });
  caller.querySelector("button").addEventListener("click", () => enter("", null));
})();
