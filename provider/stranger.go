package provider

import (
	"net/http"

	"github.com/ory/fosite"
)

// How often one visitor may have something kept for a client that anybody can be:
// in a second, and at once after a pause. What is kept ends soon, a pushed
// request after 90 seconds by default, and its size is bounded, so this bounds what one
// visitor makes the store hold: some 1,800 requests until they are swept. It is
// beyond what people do, and tests with a browser.
//
// All strangers together have a bound, too, since one of them may have many
// addresses: 23,000 pushed requests and 125,000 device logins are the most that
// one provider keeps for them, with the default lifetimes. Each provider counts by
// itself: a count in a store that they share would be a record which each of these
// requests writes, for what a rate does as well.
const (
	strangerRate, strangerBurst       = 10, 300
	allStrangerRate, allStrangerBurst = 200, 5000
)

// errTooManyRequests is what RFC 9126 §2.3 has a status for, and no code.
var errTooManyRequests = &fosite.RFC6749Error{ErrorField: "temporarily_unavailable", CodeField: http.StatusTooManyRequests}

// checkStranger bounds what is kept for those whom nobody vouches for: whoever
// names a public client, or has registered a client where everybody may. A bound
// by client would let one of them stop all who use it, so it is by visitor.
// Clients that the operator knows ask as often as they like, and so does this
// machine, where tests run.
func (p *Provider) checkStranger(w http.ResponseWriter, r *http.Request, c *client) error {
	known := !c.IsPublic() && (p.clients[c.ID] != nil || !p.registrar.open())
	if known || peerOf(r.RemoteAddr).IsLoopback() || p.strangers.allow(r) {
		return nil
	}
	w.Header().Set("Retry-After", "1")
	return refuse(errTooManyRequests, check{
		What: "Too many such requests came, from this address or from all together. Wait a moment, then try again.", Section: rfc("9126", "2.3"),
	})
}
