// Authorization code with PKCE, from the browser alone: the whole flow, top to
// bottom. A public client; its tokens live in this module's memory only.
import { steps } from "/chrome/steps.js";
import { FlowError, authorizationError, mustEqual, shown } from "/chrome/errors.js";
import { authorizeInFrame } from "/chrome/frame.js";
import { answerError, requestJSON } from "/chrome/http.js";
import { verifyIDToken } from "/chrome/idtoken.js";
import { toBase64url } from "/chrome/jwt.js";
import * as dpop from "./dpop.js"; // binds the tokens to a key, if a person wants it
import { sessionOf } from "./session.js";

/** @typedef {{issuer: string, client_id: string, api: string, home: string, scope: string}} Config */
/** @typedef {{state: string, nonce: string, verifier: string, redirectURI: string}} Transaction */
/** @typedef {{accessToken: string, expires: number, refreshToken?: string, idToken: string, claims: any, user: any, scope: string, session?: import("./session.js").Session | null}} Tokens */

export const keys = { transaction: "oidclab.pkce.transaction", signedIn: "oidclab.pkce.signed-in", logout: "oidclab.pkce.logout-state" };

/** RFC 10017 §8.4: not in storage, where a later script or another process finds them. */
let tokens = /** @type {Tokens | null} */ (null);

export const held = () => tokens;

// ── Sign in ──────────────────────────────────────────────────────────────────

/**
 * 1. Ask the provider where its endpoints are. OpenID Connect Discovery §4.
 * @param {Config} config
 */
async function discover({ issuer }) {
  if (!crypto.subtle) throw new FlowError("insecure-context", { title: "This page needs https or localhost", detail: "Browsers offer WebCrypto in secure contexts only, and without it this page cannot make an S256 challenge." });
  const answer = await requestJSON("The provider", `${issuer}/.well-known/openid-configuration`);
  if (!answer.ok) throw answerError("The provider", answer, "OpenID Connect Discovery §4.2");
  mustEqual("issuer", { title: "The provider's metadata names another issuer", expected: issuer, arrived: answer.body?.issuer, section: "OpenID Connect Discovery §4.3" });
  return answer.body;
}

const random = () => toBase64url(crypto.getRandomValues(new Uint8Array(32)));

/**
 * 2. Make what ties the answer to this tab: state, nonce, and the verifier, 32
 *    random bytes = 43 characters. RFC 7636 §4.1, OpenID Connect Core §3.1.2.1.
 * @param {string} redirectURI
 * @returns {Transaction}
 */
const newTransaction = (redirectURI) => ({ state: random(), nonce: random(), verifier: random(), redirectURI });

/**
 * 3. The authorization request. The challenge is the verifier's hash, so the
 *    URL gives the verifier away to nobody. RFC 6749 §4.1.1, RFC 7636 §4.2, §4.3.
 * @param {any} provider its metadata
 * @param {Config} config
 * @param {Transaction} transaction
 * @param {Record<string, string>} [more] what a silent request adds or changes
 */
async function authorizationURL(provider, config, transaction, more = {}) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(transaction.verifier));
  const url = new URL(provider.authorization_endpoint);
  url.searchParams.set("response_type", "code");
  url.searchParams.set("client_id", config.client_id);
  url.searchParams.set("redirect_uri", transaction.redirectURI);
  url.searchParams.set("scope", config.scope);
  url.searchParams.set("state", transaction.state);
  url.searchParams.set("nonce", transaction.nonce);
  url.searchParams.set("code_challenge", toBase64url(digest));
  url.searchParams.set("code_challenge_method", "S256");
  if (dpop.on()) url.searchParams.set("dpop_jkt", await dpop.thumbprint()); // RFC 9449 §10: the code is for this key alone
  for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
  return url.href;
}

/**
 * 4. Keep the transaction in session storage, which belongs to this tab and
 *    survives the redirect, and go to the provider.
 * @param {Config} config
 */
export async function signIn(config) {
  steps.clear();
  const provider = await discover(config);
  steps.add("Asked the provider for its endpoints", { spec: "OpenID Connect Discovery §4", channel: "back" });
  const transaction = newTransaction(`${location.origin}/callback`);
  sessionStorage.setItem(keys.transaction, JSON.stringify(transaction));
  steps.add("Made state, nonce and verifier, and kept them in session storage", { spec: "RFC 7636 §4.1" });
  const url = await authorizationURL(provider, config, transaction);
  steps.add(`Went to the provider with state, nonce and the verifier's SHA-256 (code_challenge)${dpop.on() ? ", and the thumbprint of this site's key (dpop_jkt, RFC 9449 §10)" : ""}`, { spec: "RFC 7636 §4.3", channel: "front" });
  location.assign(url);
  await new Promise(() => {}); // the page is on its way out
}

/**
 * 5. Back at /callback: read the answer and take it out of the address bar and
 *    the tab's history at once. RFC 9700 §4.3.1.
 * @param {Config} config
 */
export async function finishSignIn(config) {
  const params = new URLSearchParams(location.search);
  history.replaceState(null, "", "/");
  steps.add("Came back with the answer in the query, and removed it from the address bar", { spec: "RFC 9700 §4.3.1", channel: "front" });

  // 6. The transaction serves one answer only: a callback that is loaded again,
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
  const provider = await discover(config);
  const code = checkResponse(params, transaction, provider);
  tokens = { ...await redeem(provider, config, transaction, code), session: sessionOf(provider, params) };
  sessionStorage.setItem(keys.signedIn, "yes");
}

/**
 * @param {URLSearchParams} params
 * @param {Transaction} transaction
 * @param {any} provider
 */
function checkResponse(params, transaction, provider) {
  // 7. state: this tab asked. RFC 6749 §10.12.
  mustEqual("state", {
    title: "The state check failed",
    detail: "The answer does not belong to the request that this tab sent. It was not used: someone may have sent you a link with an answer of their own (login CSRF).",
    expected: transaction.state, arrived: params.get("state"), section: "RFC 6749 §10.12, RFC 9700 §4.7",
  });

  // 8. iss: the provider that was asked answered, and no other (mix-up). RFC 9207 §2.4.
  if (provider.authorization_response_iss_parameter_supported || params.has("iss")) {
    mustEqual("iss", { title: "The answer's issuer check failed", expected: provider.issuer, arrived: params.get("iss"), section: "RFC 9207 §2.4" });
  }
  steps.add("Checked state and the issuer of the answer", { spec: "RFC 6749 §10.12, RFC 9207 §2.4" });

  // 9. An error is an answer too. RFC 6749 §4.1.2.1.
  if (params.has("error")) throw authorizationError(params);
  const code = params.get("code");
  if (!code) throw new FlowError("code", { title: "The answer holds no code", expected: "code", arrived: [...params.keys()].join(", "), section: "RFC 6749 §4.1.2" });
  return code;
}

/**
 * 10. Redeem the code. The verifier proves that this tab began the flow; a
 *     public client has no secret to add. RFC 6749 §4.1.3, RFC 7636 §4.5.
 * @param {any} provider
 * @param {Config} config
 * @param {Transaction} transaction
 * @param {string} code
 */
async function redeem(provider, config, transaction, code) {
  const answer = await dpop.send("The token endpoint", provider.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code,
      redirect_uri: transaction.redirectURI,
      client_id: config.client_id,
      code_verifier: transaction.verifier,
    }),
  });
  if (!answer.ok) throw answerError("The token endpoint", answer, "RFC 6749 §5.2, RFC 7636 §4.6");
  steps.add(`Redeemed the code with the verifier${dpop.on() ? " and a proof of the key, to which the tokens are bound now (RFC 9449 §5)" : ""}`, { spec: "RFC 7636 §4.5", channel: "back" });
  const fresh = readTokens(answer.body, config);

  // 11. Believe the ID token only after every check of idtoken.js. OpenID Connect Core §3.1.3.7.
  fresh.claims = await verifyIDToken({
    idToken: fresh.idToken, issuer: provider.issuer, clientID: config.client_id,
    jwksURI: provider.jwks_uri, nonce: transaction.nonce, accessToken: fresh.accessToken,
  });
  steps.add("Checked the ID token: algorithm, key, signature, iss, aud, exp, iat, nonce, at_hash", { spec: "OpenID Connect Core §3.1.3.7" });
  fresh.user = await userinfo(provider, fresh);
  return fresh;
}

/**
 * The token endpoint's answer, of the kind that was asked for. RFC 6749 §5.1, RFC 9449 §5.
 * @param {any} body
 * @param {Config} config
 * @returns {Tokens}
 */
function readTokens(body, config) {
  const type = dpop.on() ? "DPoP" : "Bearer";
  if (typeof body?.access_token !== "string" || String(body.token_type).toLowerCase() !== type.toLowerCase()) {
    throw new FlowError("token_type", { title: "The token endpoint's answer cannot be used", expected: `access_token, token_type ${type}`, arrived: `token_type ${shown(body?.token_type)}`, section: "RFC 6749 §5.1, §7.1" });
  }
  return {
    accessToken: body.access_token,
    expires: Math.floor(Date.now() / 1000) + Number(body.expires_in ?? 0),
    refreshToken: body.refresh_token,
    idToken: body.id_token ?? "",
    scope: body.scope ?? config.scope,
    claims: null, user: null,
  };
}

/**
 * 12. Ask for the name. The answer counts only for the user whom the ID token
 *     names. OpenID Connect Core §5.3.2.
 * @param {any} provider
 * @param {Tokens} fresh
 */
async function userinfo(provider, { accessToken, claims }) {
  const answer = await dpop.send("The userinfo endpoint", provider.userinfo_endpoint, {}, accessToken);
  if (!answer.ok) throw answerError("The userinfo endpoint", answer, "OpenID Connect Core §5.3.3");
  mustEqual("userinfo-sub", { title: "The userinfo answer speaks of another user", expected: claims.sub, arrived: answer.body?.sub, section: "OpenID Connect Core §5.3.2" });
  steps.add("Asked userinfo for the name, and checked that it is the same user", { spec: "OpenID Connect Core §5.3.2", channel: "back" });
  return answer.body;
}

// ── Use ──────────────────────────────────────────────────────────────────────

/**
 * 13. Call the API with the access token in the header. RFC 6750 §2.1, RFC 9449 §7.1.
 * @param {Config} config
 * @param {string} path
 * @param {RequestInit} [init]
 */
export async function callAPI(config, path, init = {}) {
  const answer = await dpop.send("The API", config.api + path, init, tokens?.accessToken);
  steps.add(`Called the API: ${init.method ?? "GET"} ${path}, answered ${answer.status}`, { spec: dpop.on() ? "RFC 9449 §7.1" : "RFC 6750 §2.1", channel: "back" });
  return answer;
}

// ── Renew ────────────────────────────────────────────────────────────────────

let renewing = /** @type {Promise<void> | null} */ (null);

/**
 * 14. Renew by refresh token, one request at a time: a rotated refresh token
 *     works once, and a second use looks like a thief's to the provider, which
 *     then ends the whole family. RFC 9700 §4.14.2, RFC 10017 §6.3.2.3. No other
 *     tab can race for it, since none can see this tab's memory.
 * @param {Config} config
 */
export function renew(config) {
  renewing ??= refresh(config).finally(() => { renewing = null; });
  return renewing;
}

/** @param {Config} config */
async function refresh(config) {
  steps.clear();
  if (!tokens?.refreshToken) throw new FlowError("refresh_token", { title: "This page holds no refresh token", detail: "The provider issues one only when offline_access was granted. Renew silently instead.", section: "OpenID Connect Core §11" });
  const old = tokens;
  const provider = await discover(config);
  const answer = await dpop.send("The token endpoint", provider.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: tokens.refreshToken, client_id: config.client_id }),
  });
  if (!answer.ok) {
    // Dead for good, so nothing is left to hold. A provider that is merely down
    // says 5xx or nothing, and leaves the tokens as they are. RFC 6749 §5.2.
    if (answer.body?.error === "invalid_grant") forget();
    throw answerError("The token endpoint", answer, "RFC 6749 §5.2");
  }
  steps.add("Sent the refresh token, got a new access token and a new refresh token; the old one is used up", { spec: "RFC 6749 §6, RFC 9700 §4.14.2", channel: "back" });
  const fresh = readTokens(answer.body, config);
  fresh.refreshToken ??= old.refreshToken; // no rotation: the old one stays good. RFC 6749 §6.
  fresh.user = old.user;
  fresh.session = old.session;
  if (fresh.idToken) {
    fresh.claims = await verifyIDToken({
      idToken: fresh.idToken, issuer: provider.issuer, clientID: config.client_id,
      jwksURI: provider.jwks_uri, previous: old.claims, accessToken: fresh.accessToken,
    });
    steps.add("Checked the new ID token, and that it names the same user and sign-in", { spec: "OpenID Connect Core §12.2" });
  } else {
    fresh.idToken = old.idToken;
    fresh.claims = old.claims;
  }
  tokens = fresh;
}

/**
 * 15. Renew silently: the same request in a hidden frame with prompt=none. The
 *     provider answers from its own session, if the browser sends its cookie
 *     from a frame. OpenID Connect Core §3.1.2.1, RFC 10017 §6.3.3.3.
 * @param {Config} config
 * @param {{anew?: boolean}} [o] anew: begin the list of steps anew
 */
export async function renewSilently(config, { anew = true } = {}) {
  if (anew) steps.clear();
  const old = tokens;
  const provider = await discover(config);
  // State, nonce and verifier of its own, in memory: the frame does not leave this page.
  const transaction = newTransaction(`${location.origin}/silent`);
  const more = /** @type {Record<string, string>} */ ({ prompt: "none" });
  if (tokens) more.id_token_hint = tokens.idToken; // for this user, or for nobody
  // A page that holds a refresh token needs no second family of them.
  if (tokens?.refreshToken) more.scope = config.scope.split(" ").filter((s) => s !== "offline_access").join(" ");
  const url = await authorizationURL(provider, config, transaction, more);
  steps.add("Opened the provider in a hidden frame with prompt=none, own state, nonce and verifier", { spec: "OpenID Connect Core §3.1.2.1", channel: "front" });
  const params = new URLSearchParams(await authorizeInFrame(url));
  steps.add("The frame came back to /silent and posted its answer to this page, which checked origin and source", { spec: "RFC 10017 §6.3.3.3", channel: "inside" });
  const code = checkResponse(params, transaction, provider);
  const fresh = await redeem(provider, config, transaction, code);
  if (tokens) {
    mustEqual("sub", { title: "Another user is signed in at the provider by now", detail: "This page keeps its own user. Sign out here to change.", expected: tokens.claims.sub, arrived: fresh.claims.sub, section: "OpenID Connect Core §3.1.2.1 (id_token_hint)" });
  }
  if (old && !tokens) return; // signed out meanwhile
  tokens = { ...fresh, refreshToken: fresh.refreshToken ?? tokens?.refreshToken, session: sessionOf(provider, params) };
  sessionStorage.setItem(keys.signedIn, "yes");
}

/**
 * 16. After a reload the memory is empty. If this tab was signed in, ask the
 *     provider silently; "no" is an ordinary answer.
 * @param {Config} config
 * @returns {Promise<string>} "" or why nobody is signed in any more
 */
export async function restore(config) {
  if (sessionStorage.getItem(keys.signedIn) === null) return "";
  try {
    await renewSilently(config);
    return "";
  } catch (error) {
    if (!(error instanceof FlowError) || !["login_required", "consent_required", "interaction_required"].includes(error.code)) throw error;
    forget();
    return `The reload emptied this page's memory, and the provider did not sign you in again without showing a page (${error.code}). ${error.explanation.detail}`;
  }
}

// ── Sign out ─────────────────────────────────────────────────────────────────

export function forget() {
  tokens = null;
  sessionStorage.removeItem(keys.signedIn);
}

/**
 * 17. Forget everything here, revoke what could still be used elsewhere, and
 *     end the provider's session with a redirect. RFC 7009 §2.1, RP-Initiated
 *     Logout §2.
 * @param {Config} config
 */
export async function signOut(config) {
  steps.clear();
  await renewing?.catch(() => {}); // so that the newest refresh token is revoked
  const old = tokens;
  if (!old) return;
  forget();
  steps.add("Forgot all tokens");
  let provider;
  try {
    provider = await discover(config);
    if (old.refreshToken) await revoke(provider, config, "refresh_token", old.refreshToken);
    await revoke(provider, config, "access_token", old.accessToken);
  } catch (error) {
    throw new FlowError("logout", {
      title: "Signed out of this page only",
      detail: "This page has forgotten its tokens, but the provider could not be told: its session goes on, and so does the refresh token until it expires.",
      arrived: error instanceof Error ? error.message : String(error), section: "RP-Initiated Logout §2",
    });
  }
  const state = random();
  sessionStorage.setItem(keys.logout, state);
  const url = new URL(provider.end_session_endpoint);
  url.searchParams.set("id_token_hint", old.idToken);
  url.searchParams.set("client_id", config.client_id);
  url.searchParams.set("post_logout_redirect_uri", `${location.origin}/`);
  url.searchParams.set("state", state);
  steps.add("Went to the provider to end its session", { spec: "RP-Initiated Logout §2", channel: "front" });
  location.assign(url);
  await new Promise(() => {}); // the page is on its way out
}

/**
 * @param {any} provider
 * @param {Config} config
 * @param {"refresh_token" | "access_token"} hint
 * @param {string} token
 */
async function revoke(provider, config, hint, token) {
  const answer = await requestJSON("The revocation endpoint", provider.revocation_endpoint, {
    method: "POST",
    body: new URLSearchParams({ token, token_type_hint: hint, client_id: config.client_id }),
  });
  // A refusal does not stop the sign-out: ending the provider's session matters more.
  const name = hint.replace("_", " ");
  const outcome = answer.ok ? `Revoked the ${name}` : `The provider did not revoke the ${name}: status ${answer.status}`;
  steps.add(outcome, { spec: "RFC 7009 §2.1", channel: "back" });
}

/**
 * 18. Back from the provider: the state shows that this tab asked for the
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
