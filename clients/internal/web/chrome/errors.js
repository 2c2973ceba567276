// Errors that a page can explain: which check failed, what was expected, what
// arrived, and the section of the specification that asks for the check.

/** @typedef {{title: string, detail?: string, expected?: string, arrived?: string, section?: string}} Explanation */

export class FlowError extends Error {
  /**
   * @param {string} code short name for programs: "state", "nonce", "login_required", …
   * @param {Explanation} explanation
   */
  constructor(code, explanation) {
    super(explanation.title);
    this.name = "FlowError";
    this.code = code;
    this.explanation = explanation;
  }
}

/**
 * Refuses unless expected and arrived are the same text.
 * @param {string} code
 * @param {{title: string, expected: unknown, arrived: unknown, detail?: string, section: string}} check
 */
export function mustEqual(code, { title, expected, arrived, detail, section }) {
  if (typeof arrived === "string" && arrived === expected) return;
  throw new FlowError(code, { title, detail, section, expected: shown(expected), arrived: shown(arrived) });
}

/** @param {unknown} value */
export function shown(value) {
  if (value === undefined || value === null) return "nothing";
  return typeof value === "string" ? value || "an empty text" : JSON.stringify(value);
}

/** What the error codes of an authorization response mean for the person. */
const answers = /** @type {Record<string, {title: string, detail: string, section: string}>} */ ({
  access_denied: {
    title: "Consent was denied",
    detail: "You, or the provider's policy, did not allow this client. Nothing was issued. Sign in again to be asked again.",
    section: "RFC 6749 §4.1.2.1",
  },
  login_required: {
    title: "The provider sees no session",
    detail: "prompt=none asks for tokens without showing a page, which works only while you are signed in at the provider. " +
      "Either you are not, or the browser sent no cookie: the frame belongs to the provider, and where the provider is on another site than this page, " +
      "its cookie is a third-party cookie, which browsers block. Signing in with a full redirect works in both cases.",
    section: "OpenID Connect Core §3.1.2.6",
  },
  consent_required: {
    title: "The provider must ask for consent first",
    detail: "prompt=none forbids the consent page. Sign in with a full redirect.",
    section: "OpenID Connect Core §3.1.2.6",
  },
  interaction_required: {
    title: "The provider must show a page first",
    detail: "prompt=none forbids it. Sign in with a full redirect.",
    section: "OpenID Connect Core §3.1.2.6",
  },
});

/**
 * The error that an authorization response brought.
 * @param {URLSearchParams} params with "error"
 */
export function authorizationError(params) {
  const code = params.get("error") ?? "";
  const said = params.get("error_description") ?? "";
  const known = Object.hasOwn(answers, code) ? answers[code] : { title: `The provider answered ${code}`, detail: "", section: "RFC 6749 §4.1.2.1" };
  return new FlowError(code, { ...known, arrived: said ? `${code}: ${said}` : code });
}

/**
 * Any thrown value as an explanation. An unknown error is a bug or the browser's
 * refusal; its message is still better than silence.
 * @param {unknown} error
 * @returns {Explanation}
 */
export function explain(error) {
  if (error instanceof FlowError) return error.explanation;
  return { title: "The page could not go on", detail: error instanceof Error ? error.message : String(error) };
}
