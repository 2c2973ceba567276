// The frame's half of silent renewal: hands the provider's answer to the page
// that opened the frame. The target is this very origin, so a foreign page that
// frames /silent gets nothing. RFC 10017 §6.3.3.3.
if (window.parent !== window) {
  const answer = window.location.hash ? window.location.hash.slice(1) : window.location.search;
  window.parent.postMessage({ authorizationResponse: answer }, window.location.origin);
}
