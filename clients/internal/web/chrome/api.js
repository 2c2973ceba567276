// The card with which every client calls the API: who am I, my notes.
import { onPress, showAPIResult } from "./chrome.js";
import { FlowError } from "./errors.js";
import { byId } from "./view.js";

/** @typedef {(path: string, init?: RequestInit) => Promise<{status: number, body: any}>} Call */

/**
 * Wires #call-api, and #note with #add-note.
 * @param {Call} call sends a request to the API by this client's own means
 * @param {string} [how] one sentence on those means, shown with the answer
 */
export function wireAPI(call, how) {
  onPress("call-api", () => show(call("/api/me"), how));
  onPress("add-note", async () => {
    const input = /** @type {HTMLInputElement} */ (byId("note"));
    if (!input.reportValidity()) return;
    const body = JSON.stringify({ text: input.value });
    const added = await show(call("/api/notes", { method: "POST", headers: { "Content-Type": "application/json" }, body }), how);
    if (added.status !== 201) return;
    input.value = "";
    await show(call("/api/notes"), how);
  });
}

/**
 * @param {ReturnType<Call>} calling
 * @param {string} [how]
 */
async function show(calling, how) {
  delete byId("api-result").dataset.status; // so that it tells this answer from the last
  try {
    const answer = await calling;
    showAPIResult(answer.status, answer.body, how);
    return answer;
  } catch (error) {
    if (!(error instanceof FlowError) || error.code !== "unreachable") throw error;
    showAPIResult(0, null, `${error.explanation.title}. ${error.explanation.detail}`);
    return { status: 0, body: null };
  }
}
