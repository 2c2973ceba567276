// Package recorder keeps a bounded log of the HTTP exchanges between the
// parties of a flow. It wraps handlers and outgoing transports from outside:
// whoever is watched does not know it. Transcripts, diagrams and the evidence
// of demonstrations are views of this log.
//
// # Reading order
//
//	exchange.go    what is kept of an exchange
//	recorder.go    Log: the bounded list and its subscribers
//	handler.go     the middleware: exchanges that arrive
//	transport.go   the wrapper: exchanges that leave
//	record.go      an exchange under way, and how much of it is read
//	caller.go      who called, as far as the request tells
//	read.go        parameters and tokens out of queries, bodies and headers
//	redact.go      what is never kept
//	rewrite.go     how values inside other values are reached
//	transcript.go  the log as stable text
//
// # Who called, and over which channel
//
//	request                                      From                  Channel
//	carries the mark of a wrapped transport      the transport's party back
//	Sec-Fetch-Mode: navigate                     "browser"             front
//	loads a script, style sheet, image or font   "browser"             front (Asset)
//	any other Sec-Fetch-Mode, or an Origin       the page's party      script
//	no sign of a browser, Accept: text/html      "browser"             front
//	no sign of a browser                         "outside"             back
//
// A script's call goes straight to the other party, so it is no front channel
// (nothing is carried by redirect), yet it is sent and read by code in the
// browser, so it is no back channel either: it has a kind of its own. The
// page's party is the one whose origin the browser names (Options.Parties),
// and the receiving party itself for a same-origin call.
//
// # Redaction
//
// Values that let their bearer do something (codes, tokens, secrets, passwords,
// verifiers, cookies) are replaced before they are kept by a placeholder which
// is the same for the same value within one Log, so that a reader can still
// follow a code from the redirect to the token request. JSON Web Tokens are
// kept as their decoded header and payload, never with the signature.
// Options.Unredacted turns this off, for demonstrations of an attack; the
// signature of decoded tokens stays out even then.
package recorder
