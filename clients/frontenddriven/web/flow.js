// The browser's half of the frontend-driven flow, top to bottom. The backend's
// half is flow.go: what needs the client's secret, and the provider's tokens.
import { FlowError, authorizationError, mustEqual, shown } from "/chrome/errors.js";
import { answerError, requestJSON } from "/chrome/http.js";
import { toBase64url } from "/chrome/jwt.js";
import { steps } from "/chrome/steps.js";

/** @typedef {{backend: string, api: string, home: string}} Config what /config.json says */
/** @typedef {{issuer: string, authorization_endpoint: string, authorization_response_iss_parameter_supported: boolean, client_id: string, scope: string, redirect_uri: string}} AuthConfig */
/** @typedef {{state: string, nonce: string, verifier: string, redirectURI: string, issuer: string, sendsIssuer: boolean}} Transaction */
/** @typedef {{accessToken: string, expires: number, refreshToken: string, refreshExpires: number, scope: string, user: any, idToken: {header: any, payload: any}}} Session */

export const keys = {
  transaction: "oidclab.frontenddriven.transaction",
  session: "oidclab.frontenddriven.session",
  logout: "oidclab.frontenddriven.logout-state",
};

/**
 * The application's tokens, from session storage: they survive a reload, and end
 * with the tab. Any script of this page can read them there. RFC 10017 §8.5.
 * @returns {Session | null}
 */
export function held() {
  const kept = sessionStorage.getItem(keys.session);
  return kept === null ? null : JSON.parse(kept);
}

const now = () => Math.floor(Date.now() / 1000);
const random = () => toBase64url(crypto.getRandomValues(new Uint8Array(32)));

// ── Sign in ──────────────────────────────────────────────────────────────────

/**
 * 1. Ask the backend who the provider is, and as which client to go there. The
 *    page itself is configured with nothing but the backend's address.
 * @param {Config} config
 * @returns {Promise<AuthConfig>}
 */
async function askBackend(config) {
  if (!crypto.subtle) throw new FlowError("insecure-context", { title: "This page needs https or localhost", detail: "Browsers offer WebCrypto in secure contexts only, and without it this page cannot make an S256 challenge." });
  const answer = await requestJSON("The backend", `${config.backend}/auth/config`);
  if (!answer.ok) throw backendError(answer);
  steps.add("Asked the backend for the provider's address and the client's id", { channel: "back" });
  return answer.body;
}

/**
 * 2. Make state, nonce and the verifier, 32 random bytes each. They are kept in
 *    session storage, which belongs to this tab and survives the redirect, so an
 *    answer to a flow that somebody else began finds nothing to match: with the
 *    state in the backend, a link would be enough to begin one for another
 *    person. RFC 7636 §4.1, RFC 9700 §4.7, OpenID Connect Core §3.1.2.1.
 * @param {AuthConfig} auth
 * @returns {Transaction}
 */
function newTransaction(auth) {
  const transaction = {
    state: random(), nonce: random(), verifier: random(), redirectURI: auth.redirect_uri,
    issuer: auth.issuer, sendsIssuer: auth.authorization_response_iss_parameter_supported,
  };
  sessionStorage.setItem(keys.transaction, JSON.stringify(transaction));
  steps.add("Made state, nonce and verifier, and kept them in session storage", { spec: "RFC 7636 §4.1" });
  return transaction;
}

/**
 * 3. Go to the provider, with the hash of the verifier. RFC 6749 §4.1.1,
 *    RFC 7636 §4.2, §4.3.
 * @param {Config} config
 */
export async function signIn(config) {
  steps.clear();
  const auth = await askBackend(config);
  const transaction = newTransaction(auth);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(transaction.verifier));
  const url = new URL(auth.authorization_endpoint);
  url.searchParams.set("response_type", "code");
  url.searchParams.set("client_id", auth.client_id);
  url.searchParams.set("redirect_uri", transaction.redirectURI);
  url.searchParams.set("scope", auth.scope);
  url.searchParams.set("state", transaction.state);
  url.searchParams.set("nonce", transaction.nonce);
  url.searchParams.set("code_challenge", toBase64url(digest));
  url.searchParams.set("code_challenge_method", "S256");
  steps.add("Went to the provider with state, nonce and the verifier's SHA-256 (code_challenge)", { spec: "RFC 7636 §4.3", channel: "front" });
  location.assign(url);
  await new Promise(() => {}); // the page is on its way out
}

/**
 * 4. Back at /callback: read the answer, and take it out of the address bar and
 *    the tab's history before anything else. RFC 9700 §4.3.1.
 * @param {Config} config
 */
export async function finishSignIn(config) {
  const params = new URLSearchParams(location.search);
  history.replaceState(null, "", "/");
  steps.add("Came back with the answer in the query, and removed it from the address bar", { spec: "RFC 9700 §4.3.1", channel: "front" });

  // 5. The transaction serves one answer only: a callback that is loaded again,
  //    or that another tab or person began, finds nothing. RFC 9700 §4.7.1.
  const kept = sessionStorage.getItem(keys.transaction);
  sessionStorage.removeItem(keys.transaction);
  if (kept === null) {
    throw new FlowError("transaction", {
      title: "No sign-in is under way in this tab",
      detail: "The answer at this address was used before, or it belongs to a sign-in that began in another tab or browser. It was not used. Sign in again.",
      expected: "a state in this tab's session storage", arrived: `state ${shown(params.get("state"))}, and nothing kept`, section: "RFC 9700 §4.7.1",
    });
  }
  const transaction = /** @type {Transaction} */ (JSON.parse(kept));

  // 6. state: this tab asked. RFC 6749 §10.12.
  mustEqual("state", {
    title: "The state check failed",
    detail: "The answer does not belong to the request that this tab sent. It was not used: someone may have sent you a link with an answer of their own (login CSRF).",
    expected: transaction.state, arrived: params.get("state"), section: "RFC 6749 §10.12, RFC 9700 §4.7",
  });

  // 7. iss: the provider that was asked answered, and no other (mix-up). RFC 9207 §2.4.
  if (transaction.sendsIssuer || params.has("iss")) {
    mustEqual("iss", { title: "The answer's issuer check failed", expected: transaction.issuer, arrived: params.get("iss"), section: "RFC 9207 §2.4" });
  }
  steps.add("Checked state and the issuer of the answer", { spec: "RFC 6749 §10.12, RFC 9207 §2.4" });

  // 8. An error is an answer too. RFC 6749 §4.1.2.1.
  if (params.has("error")) throw authorizationError(params);
  const code = params.get("code");
  if (!code) throw new FlowError("code", { title: "The answer holds no code", expected: "code", arrived: [...params.keys()].join(", "), section: "RFC 6749 §4.1.2" });
  await exchange(config, transaction, code);
}

/**
 * 9. Hand the code to the backend, with what this tab alone knows: the verifier,
 *    without which the provider does not redeem the code, and the nonce, which
 *    the ID token must carry. The backend adds the secret. RFC 7636 §4.5.
 * @param {Config} config
 * @param {Transaction} transaction
 * @param {string} code
 */
async function exchange(config, transaction, code) {
  const answer = await requestJSON("The backend", `${config.backend}/auth/exchange`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code, code_verifier: transaction.verifier, nonce: transaction.nonce, redirect_uri: transaction.redirectURI }),
  });
  if (!answer.ok) throw backendError(answer);
  keep(answer.body);
  steps.add("Handed code, verifier and nonce to the backend", { spec: "RFC 7636 §4.5", channel: "back" });
  steps.add("The backend redeemed the code with its secret, checked the ID token and its nonce, and asked UserInfo", { spec: "RFC 6749 §4.1.3, OpenID Connect Core §3.1.3.7", channel: "back" });
  steps.add("Got the application's own access and refresh token; the provider's stay in the backend", { spec: "RFC 9068 §2, RFC 8725 §3.11", channel: "back" });
}

/**
 * 10. Keep the application's pair. The ID token comes without its signature: it
 *     is here to be read, and nobody can use it.
 * @param {any} body
 */
function keep(body) {
  if (typeof body?.access_token !== "string" || typeof body.refresh_token !== "string" || body.token_type !== "Bearer") {
    throw new FlowError("token_type", { title: "The backend's answer cannot be used", expected: "access_token, refresh_token, token_type Bearer", arrived: `token_type ${shown(body?.token_type)}`, section: "RFC 6749 §5.1" });
  }
  const session = /** @type {Session} */ ({
    accessToken: body.access_token, expires: now() + body.expires_in,
    refreshToken: body.refresh_token, refreshExpires: now() + body.refresh_expires_in,
    scope: body.scope, user: body.user, idToken: body.id_token,
  });
  sessionStorage.setItem(keys.session, JSON.stringify(session));
}

// ── Use ──────────────────────────────────────────────────────────────────────

/**
 * 11. Call the API with the application's access token. One that has expired is
 *     renewed first, once. RFC 6750 §2.1.
 * @param {Config} config
 * @param {string} path
 * @param {RequestInit} [init]
 */
export async function callAPI(config, path, init = {}) {
  const session = held();
  if (session && session.expires <= now()) {
    steps.add("The access token has expired, so it is renewed before the call", { channel: "inside" });
    await renew(config);
  }
  const answer = await requestJSON("The API", config.api + path, { ...init, headers: { ...init.headers, Authorization: `Bearer ${held()?.accessToken}` } });
  steps.add(`Called the API with the application's token: ${init.method ?? "GET"} ${path}, answered ${answer.status}`, { spec: "RFC 6750 §2.1", channel: "back" });
  return answer;
}

// ── Renew ────────────────────────────────────────────────────────────────────

let renewing = /** @type {Promise<void> | null} */ (null);

/**
 * 12. Renew, one request at a time: a refresh token works once, and the backend
 *     takes a second use for a thief's. RFC 9700 §4.14.2.
 * @param {Config} config
 */
export function renew(config) {
  renewing ??= refresh(config).finally(() => { renewing = null; });
  return renewing;
}

/** @param {Config} config */
async function refresh(config) {
  const session = held();
  if (!session) throw new FlowError("refresh_token", { title: "Nobody is signed in here", detail: "This tab holds no refresh token. Sign in again." });
  const answer = await requestJSON("The backend", `${config.backend}/auth/refresh`, {
    method: "POST",
    headers: { Authorization: `Bearer ${session.refreshToken}` },
  });
  // 401: this login is over, so nothing is left to hold. Anything else leaves
  // the pair as it is, to be tried again.
  if (answer.status === 401) sessionStorage.removeItem(keys.session);
  if (!answer.ok) {
    steps.add(`Sent the application's refresh token to the backend, which answered ${answer.status}`, { spec: "RFC 6749 §5.2", channel: "back" });
    throw backendError(answer);
  }
  keep(answer.body);
  steps.add("Sent the application's refresh token to the backend; it is used up", { spec: "RFC 9700 §4.14.2", channel: "back" });
  steps.add("The backend renewed the provider's tokens and asked UserInfo for the latest claims", { spec: "RFC 6749 §6, OpenID Connect Core §5.3", channel: "back" });
  steps.add("Got the next pair", { channel: "back" });
}

/**
 * What a refusal of the backend means for the person.
 * @param {import("/chrome/http.js").Answer} answer
 */
function backendError(answer) {
  const said = answer.body?.error_description;
  if (answer.status === 503) {
    return new FlowError("unavailable", { title: "The provider cannot be reached at the moment", detail: "The backend answers, the provider behind it does not. Nothing was ended: what this page holds still works, and the same can be tried again.", arrived: "status 503" });
  }
  if (answer.status === 401 && said) return new FlowError(answer.body.error, { title: "This login has ended", detail: said });
  return answerError("The backend", answer, "RFC 6749 §5.2");
}

// ── Sign out ─────────────────────────────────────────────────────────────────

/**
 * 13. Forget the pair, let the backend end the login and revoke the provider's
 *     refresh token, and go to the provider to end its session. RFC 7009 §2.1,
 *     RP-Initiated Logout §2.
 * @param {Config} config
 */
export async function signOut(config) {
  steps.clear();
  await renewing?.catch(() => {}); // so that the newest refresh token is the one that ends
  const session = held();
  if (!session) return;
  sessionStorage.removeItem(keys.session);
  steps.add("Forgot the application's tokens");
  let answer;
  try {
    answer = await requestJSON("The backend", `${config.backend}/auth/logout`, {
      method: "POST",
      headers: { Authorization: `Bearer ${session.refreshToken}` },
    });
    if (!answer.ok) throw backendError(answer);
  } catch (error) {
    throw onlyHere(error instanceof Error ? error.message : String(error));
  }
  steps.add(answer.body?.provider_revoked ? "The backend ended the login and revoked the provider's refresh token" : "The backend ended the login; the provider did not confirm that its refresh token is revoked", { spec: "RFC 7009 §2.1", channel: "back" });
  if (!answer.body?.logout_url) throw onlyHere("no logout address: the backend cannot reach the provider");
  const state = random();
  sessionStorage.setItem(keys.logout, state);
  const url = new URL(answer.body.logout_url);
  url.searchParams.set("state", state);
  steps.add("Went to the provider to end its session", { spec: "RP-Initiated Logout §2", channel: "front" });
  location.assign(url);
  await new Promise(() => {}); // the page is on its way out
}

/** @param {string} arrived */
const onlyHere = (arrived) => new FlowError("logout", {
  title: "Signed out of this page only",
  detail: "This page has forgotten its tokens, but the provider's session may go on, and signing in again may then need no password.",
  arrived, section: "RP-Initiated Logout §2",
});

/**
 * 14. Back from the provider: the state shows that this tab asked for the
 *     logout. RP-Initiated Logout §3.
 * @returns {boolean} whether this load ended a logout
 */
export function finishSignOut() {
  const arrived = new URLSearchParams(location.search).get("state");
  if (arrived === null) return false;
  history.replaceState(null, "", "/");
  const expected = sessionStorage.getItem(keys.logout);
  sessionStorage.removeItem(keys.logout);
  mustEqual("logout-state", { title: "The logout's state check failed", detail: "This tab did not ask for the logout that this address speaks of.", expected, arrived, section: "RP-Initiated Logout §3" });
  steps.add("Came back from the provider, which has ended its session, and checked state", { spec: "RP-Initiated Logout §3", channel: "front" });
  return true;
}
