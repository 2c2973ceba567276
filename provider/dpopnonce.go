package provider

import (
	"crypto/hmac"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/ory/fosite"
)

// nonceTurn is how long a nonce is the newest one. It is accepted as long again,
// so that nobody's nonce is refused who has just been given it.
const nonceTurn = 5 * time.Minute

// errUseNonce is the error code of RFC 9449 §8.
var errUseNonce = &fosite.RFC6749Error{
	ErrorField: "use_dpop_nonce", DescriptionField: "The DPoP proof needs a nonce of the provider.", CodeField: http.StatusBadRequest,
}

// proofNonces makes the nonces of DPoP proofs (RFC 9449 §8, §9). A nonce is a
// MAC of the time, the same for all clients, so that none is stored: it says
// that a proof was not made before it. nil asks for no nonces.
type proofNonces struct{ macs macs }

// turn counts the turns of nonceTurn.
func turn(now time.Time) int64 { return now.Unix() / int64(nonceTurn/time.Second) }

// of is the nonce of a turn.
func (n *proofNonces) of(turn int64) string {
	return b64.EncodeToString(n.macs.sum(binary.BigEndian.AppendUint64(nil, uint64(turn)))) //nolint:gosec // any eight bytes do
}

// until says when a nonce ends, and whether it is good now.
func (n *proofNonces) until(nonce string, now time.Time) (end time.Time, good bool) {
	for _, of := range []int64{turn(now), turn(now) - 1} {
		if hmac.Equal([]byte(nonce), []byte(n.of(of))) {
			return time.Unix((of+2)*int64(nonceTurn/time.Second), 0), true
		}
	}
	return time.Time{}, false
}

// checkFreshness says until when a proof is young enough: RFC 9449 §4.3 (10) and
// (11). Where nonces are asked for, it is the nonce that says when the proof was
// made, whatever the client's clock shows; a client that has an old one or none
// is given the newest.
func (p *Provider) checkFreshness(w http.ResponseWriter, claims proofClaims) (until time.Time, err error) {
	now := time.Now()
	if claims.IssuedAt == nil {
		return until, refuseProof("iat of the DPoP proof is missing.", "a time near "+now.UTC().Format(time.RFC3339), "")
	}
	if p.proofNonces == nil {
		made := claims.IssuedAt.Time()
		return made.Add(proofLife), checkProofTime(made, now)
	}
	newest := p.proofNonces.of(turn(now))
	if claims.Nonce != newest {
		w.Header().Set("DPoP-Nonce", newest) // RFC 9449 §8.2
	}
	until, good := p.proofNonces.until(claims.Nonce, now)
	if !good {
		return until, refuse(errUseNonce, check{
			What: "The DPoP proof needs the nonce of the DPoP-Nonce header.", Expected: newest, Arrived: printable(claims.Nonce), Section: rfc("9449", "8"),
		})
	}
	return until, nil
}

// checkProofTime: RFC 9449 §11.1.
func checkProofTime(made, now time.Time) error {
	if made.After(now.Add(clockSkew)) || !now.Before(made.Add(proofLife)) {
		return refuseProof("The DPoP proof was not made just now.", "an iat near "+now.UTC().Format(time.RFC3339), made.UTC().Format(time.RFC3339))
	}
	return nil
}
