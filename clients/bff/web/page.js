// The page of the BFF. The flow runs in the backend (flow.go); this page asks
// the backend what it may know, and shows it.
import { wireAPI } from "/chrome/api.js";
import { FlowError, countRenewal, mount, onPress, showError, showHoldings, showIDToken, showNotice, showSignedIn, showSignedOut } from "/chrome/chrome.js";
import { requestJSON } from "/chrome/http.js";
import { timeView } from "/chrome/time.js";
import { byId, el } from "/chrome/view.js";

/**
 * What the backend tells about the session (session.go, sessionView).
 * @typedef {object} Session
 * @property {boolean} signed_in
 * @property {{name: string, preferred_username: string, sub: string}} who
 * @property {{header: object, payload: object}} id_token
 * @property {import("/chrome/chrome.js").Holding[]} holdings
 * @property {{text: string, spec: string, channel: "front" | "back" | "inside"}[]} steps
 * @property {{expires_at: number, idle_expires_at: number}} session
 */

/**
 * Calls the backend. The browser adds the session cookie; the header shows that
 * this page's own script asks, since no other origin can send it (RFC 10017
 * §6.1.3.3.2).
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function backend(path, init = {}) {
  const headers = { ...init.headers, "X-BFF-CSRF": "1" };
  const answer = await requestJSON("The backend", path, { ...init, headers, credentials: "same-origin" });
  if (["session_ended", "signed_out_at_provider", "no_session"].includes(answer.body?.error)) {
    show({ signed_in: false });
    throw new FlowError(answer.body.error, answer.body);
  }
  return answer;
}

/**
 * Calls the backend for something that it must be able to do.
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function need(path, init) {
  const { ok, body, status } = await backend(path, init);
  if (ok) return body;
  throw new FlowError(body?.error ?? `status-${status}`, body?.title ? body : { title: "The backend could not do this", arrived: `status ${status}` });
}

/** @param {Session | {signed_in: false}} session */
function show(session) {
  const signedIn = session.signed_in ? /** @type {Session} */ (session) : null;
  showIDToken(signedIn && signedIn.id_token);
  showHoldings(signedIn ? signedIn.holdings : []);
  showSteps(signedIn ? signedIn.steps : []);
  if (!signedIn) return showSignedOut();
  byId("session-end").replaceChildren(timeView(signedIn.session.expires_at, { expiry: true }));
  byId("session-idle").replaceChildren(timeView(signedIn.session.idle_expires_at, { expiry: true }));
  const { name, preferred_username: username, sub } = signedIn.who;
  showSignedIn({ name, username, sub });
}

const channels = { front: "front channel", back: "back channel", inside: "inside the backend" };

/** The backend's steps; this page itself takes none. @param {Session["steps"]} steps */
function showSteps(steps) {
  byId("steps").replaceChildren(...steps.map(({ text, spec, channel }) =>
    el("li", { "data-channel": channel }, text, el("br"), el("span", { class: "section" }, `${channels[channel]} · ${spec}`))));
}

/** Says where the browser comes from, if the backend has just sent it here. */
function arrival(/** @type {boolean} */ signedIn) {
  const from = location.hash;
  if (from) history.replaceState(null, "", "/");
  if (from === "#signed-out") showNotice("You are signed out, here and at the provider.");
  if (from === "#login=done" && !signedIn) {
    throw new FlowError("cookie_refused", {
      title: "The browser did not keep the session cookie",
      detail: "The login succeeded, but the cookie did not come back. The cookie is Secure, and some browsers refuse such a cookie over plain http, " +
        "even on localhost. Start the lab with --tls, or use a browser that keeps it (Chromium, Firefox).",
      expected: "the cookie __Host-bff",
      arrived: "no cookie",
      section: "RFC 6265bis §4.1.2.5",
    });
  }
}

async function signOut() {
  const { logout_url: url } = await need("/logout", { method: "POST" });
  if (url) {
    location.assign(url);
    return;
  }
  show({ signed_in: false });
  showNotice("You are signed out here. The provider cannot be reached, so its own session and the tokens may live on until they expire.");
}

async function start() {
  const { body: config } = await requestJSON("The backend", "/config.json");
  mount({ home: config.home });
  onPress("signin", async () => location.assign("/login"));
  onPress("renew", async () => {
    show(await need("/bff/renew", { method: "POST" }));
    countRenewal();
  });
  onPress("signout", signOut);
  wireAPI((path, init) => backend(`/bff${path}`, init), "Sent by the backend, which added the access token; this page sent the cookie.");
  const session = await need("/bff/session");
  show(session);
  arrival(session.signed_in);
}

start().catch((error) => {
  if (document.body.dataset.state === "loading") show({ signed_in: false });
  showError(error);
});
