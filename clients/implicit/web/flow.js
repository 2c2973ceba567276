// The implicit flow, from the browser alone: the whole flow, top to bottom.
// OAuth's current practice is not to use it (RFC 9700 §2.1.2, RFC 10017 §7.2);
// it is here to be compared with what replaced it.
import { steps } from "/chrome/steps.js";
import { FlowError, authorizationError, mustEqual, shown } from "/chrome/errors.js";
import { authorizeInFrame } from "/chrome/frame.js";
import { answerError, requestJSON } from "/chrome/http.js";
import { verifyIDToken } from "/chrome/idtoken.js";
import { toBase64url } from "/chrome/jwt.js";

/** @typedef {{issuer: string, client_id: string, api: string, home: string, scope: string}} Config */
/** @typedef {{state: string, nonce: string, redirectURI: string}} Transaction */
/** @typedef {{accessToken: string, expires: number, idToken: string, claims: any, user: any, scope: string}} Tokens */

export const keys = { transaction: "oidclab.implicit.transaction", signedIn: "oidclab.implicit.signed-in", logout: "oidclab.implicit.logout-state" };

/** RFC 10017 §8.4: not in storage, where a later script or another process finds them. */
let tokens = /** @type {Tokens | null} */ (null);

export const held = () => tokens;

// ── Sign in ──────────────────────────────────────────────────────────────────

/**
 * 1. Ask the provider where its endpoints are. OpenID Connect Discovery §4.
 * @param {Config} config
 */
async function discover({ issuer }) {
  if (!crypto.subtle) throw new FlowError("insecure-context", { title: "This page needs https or localhost", detail: "Browsers offer WebCrypto in secure contexts only, and without it this page cannot check a signature." });
  const answer = await requestJSON("The provider", `${issuer}/.well-known/openid-configuration`);
  if (!answer.ok) throw answerError("The provider", answer, "OpenID Connect Discovery §4.2");
  mustEqual("issuer", { title: "The provider's metadata names another issuer", expected: issuer, arrived: answer.body?.issuer, section: "OpenID Connect Discovery §4.3" });
  return answer.body;
}

const random = () => toBase64url(crypto.getRandomValues(new Uint8Array(32)));

/**
 * 2. Make what ties the answer to this tab: state, and the nonce that the ID
 *    token must repeat. OpenID Connect Core §3.2.2.1.
 * @param {string} redirectURI
 * @returns {Transaction}
 */
const newTransaction = (redirectURI) => ({ state: random(), nonce: random(), redirectURI });

/**
 * 3. The authorization request. The tokens themselves are to come back in the
 *    fragment of redirect_uri. OpenID Connect Core §3.2.2.1.
 * @param {any} provider its metadata
 * @param {Config} config
 * @param {Transaction} transaction
 * @param {Record<string, string>} [more] what a silent request adds
 */
function authorizationURL(provider, config, transaction, more = {}) {
  const url = new URL(provider.authorization_endpoint);
  url.searchParams.set("response_type", "id_token token");
  url.searchParams.set("client_id", config.client_id);
  url.searchParams.set("redirect_uri", transaction.redirectURI);
  url.searchParams.set("scope", config.scope);
  url.searchParams.set("state", transaction.state);
  url.searchParams.set("nonce", transaction.nonce);
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
  steps.add("Made state and nonce, and kept them in session storage", { spec: "OpenID Connect Core §3.2.2.1" });
  steps.add("Went to the provider with state and nonce, asking for id_token and token", { spec: "OpenID Connect Core §3.2.2.1", channel: "front" });
  location.assign(authorizationURL(provider, config, transaction));
  await new Promise(() => {}); // the page is on its way out
}

/**
 * 5. Back at /callback: read the tokens out of the fragment and take it out of
 *    the address bar at once. The browser has seen the URL by now, and may have
 *    written it to its history. RFC 9700 §4.3.2.
 * @param {Config} config
 */
export async function finishSignIn(config) {
  // An error of the authorization request may come in the query instead, where
  // the provider could not tell the response mode. OAuth 2.0 Multiple Response Types §2.1.
  const params = new URLSearchParams(location.hash ? location.hash.slice(1) : location.search);
  history.replaceState(null, "", "/");
  steps.add("Came back with the answer in the URL's fragment, and removed it from the address bar", { spec: "RFC 9700 §4.3.2", channel: "front" });

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
  const provider = await discover(config);
  tokens = await accept(params, /** @type {Transaction} */ (JSON.parse(kept)), provider, config);
  sessionStorage.setItem(keys.signedIn, "yes");
}

/**
 * Everything that stands between a fragment and a signed-in user.
 * @param {URLSearchParams} params
 * @param {Transaction} transaction
 * @param {any} provider
 * @param {Config} config
 */
async function accept(params, transaction, provider, config) {
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

  // 9. An error is an answer too. OpenID Connect Core §3.2.2.6.
  if (params.has("error")) throw authorizationError(params);

  // 10. Both tokens, of the kind that was asked for. OpenID Connect Core §3.2.2.5.
  const fresh = readTokens(params, config);

  // 11. Believe them only after every check of idtoken.js. The fragment came
  //     through the front channel, so at_hash must be there: it alone says that
  //     this access token was issued with this ID token. OpenID Connect Core §3.2.2.9, §3.2.2.11.
  fresh.claims = await verifyIDToken({
    idToken: fresh.idToken, issuer: provider.issuer, clientID: config.client_id, jwksURI: provider.jwks_uri,
    nonce: transaction.nonce, accessToken: fresh.accessToken, needsAtHash: true,
  });
  steps.add("Checked the ID token: algorithm, key, signature, iss, aud, exp, iat, nonce, at_hash", { spec: "OpenID Connect Core §3.2.2.8, §3.2.2.11" });
  fresh.user = await userinfo(provider, fresh);
  return fresh;
}

/**
 * @param {URLSearchParams} params
 * @param {Config} config
 * @returns {Tokens}
 */
function readTokens(params, config) {
  const accessToken = params.get("access_token");
  const idToken = params.get("id_token");
  if (!accessToken || !idToken || params.get("token_type")?.toLowerCase() !== "bearer") {
    throw new FlowError("tokens", {
      title: "The answer does not hold both tokens",
      expected: "access_token, id_token, token_type Bearer", arrived: [...params.keys()].join(", ") || "nothing", section: "OpenID Connect Core §3.2.2.5",
    });
  }
  return {
    accessToken, idToken,
    expires: Math.floor(Date.now() / 1000) + Number(params.get("expires_in") ?? 0),
    scope: params.get("scope") ?? config.scope,
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
  const answer = await requestJSON("The userinfo endpoint", provider.userinfo_endpoint, { headers: { Authorization: `Bearer ${accessToken}` } });
  if (!answer.ok) throw answerError("The userinfo endpoint", answer, "OpenID Connect Core §5.3.3");
  mustEqual("userinfo-sub", { title: "The userinfo answer speaks of another user", expected: claims.sub, arrived: answer.body?.sub, section: "OpenID Connect Core §5.3.2" });
  steps.add("Asked userinfo for the name, and checked that it is the same user", { spec: "OpenID Connect Core §5.3.2", channel: "back" });
  return answer.body;
}

// ── Use ──────────────────────────────────────────────────────────────────────

/**
 * 13. Call the API with the access token in the header. RFC 6750 §2.1.
 * @param {Config} config
 * @param {string} path
 * @param {RequestInit} [init]
 */
export async function callAPI(config, path, init = {}) {
  const answer = await requestJSON("The API", config.api + path, { ...init, headers: { ...init.headers, Authorization: `Bearer ${tokens?.accessToken}` } });
  steps.add(`Called the API: ${init.method ?? "GET"} ${path}, answered ${answer.status}`, { spec: "RFC 6750 §2.1", channel: "back" });
  return answer;
}

// ── Renew ────────────────────────────────────────────────────────────────────

/**
 * 14. Renew: there is no refresh token in this flow (RFC 6749 §4.2.2), so the
 *     same request goes out again in a hidden frame with prompt=none. The
 *     provider answers from its own session, if the browser sends its cookie
 *     from a frame. OpenID Connect Core §3.1.2.1, RFC 10017 §6.3.3.3.
 * @param {Config} config
 */
export async function renewSilently(config) {
  steps.clear();
  const provider = await discover(config);
  // State and nonce of its own, in memory: the frame does not leave this page.
  const transaction = newTransaction(`${location.origin}/silent`);
  const more = /** @type {Record<string, string>} */ ({ prompt: "none" });
  if (tokens) more.id_token_hint = tokens.idToken; // for this user, or for nobody
  steps.add("Opened the provider in a hidden frame with prompt=none, own state and nonce", { spec: "OpenID Connect Core §3.1.2.1", channel: "front" });
  const answer = await authorizeInFrame(authorizationURL(provider, config, transaction, more));
  steps.add("The frame came back to /silent and posted its answer to this page, which checked origin and source", { spec: "RFC 10017 §6.3.3.3" });
  const fresh = await accept(new URLSearchParams(answer), transaction, provider, config);
  if (tokens) {
    mustEqual("sub", { title: "Another user is signed in at the provider by now", detail: "This page keeps its own user. Sign out here to change.", expected: tokens.claims.sub, arrived: fresh.claims.sub, section: "OpenID Connect Core §3.1.2.1 (id_token_hint)" });
  }
  tokens = fresh;
  sessionStorage.setItem(keys.signedIn, "yes");
}

/**
 * 15. After a reload the memory is empty. If this tab was signed in, ask the
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

function forget() {
  tokens = null;
  sessionStorage.removeItem(keys.signedIn);
}

/**
 * 16. Forget the tokens and end the provider's session with a redirect. The
 *     access token stays good at the API until it expires. RP-Initiated Logout §2.
 * @param {Config} config
 */
export async function signOut(config) {
  steps.clear();
  const old = tokens;
  if (!old) return;
  forget();
  steps.add("Forgot all tokens");
  let provider;
  try {
    provider = await discover(config);
  } catch (error) {
    throw new FlowError("logout", {
      title: "Signed out of this page only",
      detail: "This page has forgotten its tokens, but the provider could not be told: its session goes on.",
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
 * 17. Back from the provider: the state shows that this tab asked for the
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
