package provider

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/ory/fosite"
)

// What a request with an access token, or one of registration, lacks: RFC 6750
// §3.1. Without any token there is no error code.
var (
	errNoToken           = refuse(&fosite.RFC6749Error{CodeField: http.StatusUnauthorized}, check{})
	errInvalidToken      = &fosite.RFC6749Error{ErrorField: "invalid_token", CodeField: http.StatusUnauthorized}
	errInsufficientScope = &fosite.RFC6749Error{ErrorField: "insufficient_scope", CodeField: http.StatusForbidden}
)

// credential is an access token as somebody presents it, and the scheme by which.
type credential struct{ scheme, token string }

// schemeFor is the scheme that an error about the token is about.
func (c credential) schemeFor(token presentedToken) string {
	if token.JKT != "" {
		return schemeDPoP
	}
	return c.scheme
}

// credential reads the access token, RFC 6750 §2.1 and §2.2, RFC 9449 §7.1. The
// query (RFC 6750 §2.3) is refused: it ends in logs and histories.
func (p *Provider) credential(w http.ResponseWriter, r *http.Request) (credential, error) {
	scheme, header, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := credential{scheme: schemeBearer, token: strings.TrimSpace(header)}
	if strings.EqualFold(scheme, schemeDPoP) {
		given.scheme = schemeDPoP
	}
	bad := func(what, sec string) (credential, error) {
		return given, refuse(fosite.ErrInvalidRequest, check{What: what, Section: rfc("6750", sec)})
	}
	if r.URL.Query().Has("access_token") {
		return bad("The access token must not be in the query (RFC 6750 section 2.3).", "2.3")
	}
	var body string
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		form, err := bodyForm(w, r)
		if err != nil {
			return given, err
		}
		body = form.Get("access_token")
	}
	switch {
	case len(r.Header.Values("Authorization")) > 1, header != "" && body != "":
		return bad("The request carries more than one access token (RFC 6750 section 2).", "2")
	case body != "":
		return credential{schemeBearer, body}, nil
	case given.scheme != schemeDPoP && !strings.EqualFold(scheme, schemeBearer):
		// No token, or a scheme that is not known here: RFC 6750 §3.1.
		return given, errNoToken
	case given.token == "":
		return bad("The Authorization header must be: "+given.scheme+" and the access token.", "2.1")
	}
	return given, nil
}

// checkPossession checks that whoever presents an access token may use it: a
// bound one comes with a proof by its key and under the scheme DPoP, another one
// as a bearer token. RFC 9449 §7.1, §7.2.
func (p *Provider) checkPossession(w http.ResponseWriter, r *http.Request, presented credential, token presentedToken) error {
	badToken := func(what, expected, arrived string) error {
		return refuse(errInvalidToken, check{What: what, Expected: expected, Arrived: arrived, Section: rfc("9449", "7.1")})
	}
	switch {
	case token.JKT == "" && presented.scheme == schemeDPoP:
		return badToken("The access token is a bearer token: no key is bound to it.", "the scheme "+schemeBearer, schemeDPoP)
	case token.JKT == "":
		return nil
	case presented.scheme != schemeDPoP:
		return badToken("The access token is bound to a key, and no bearer token.", "the scheme DPoP in the Authorization header, and a proof", presented.scheme)
	}
	proof, err := p.checkProof(w, r, presented.token)
	if err != nil {
		return err
	}
	if proof == nil {
		return refuse(errInvalidProof, check{What: "The DPoP proof is missing.", Section: rfc("9449", "7.1")})
	}
	if proof.jkt != token.JKT {
		return badToken("The access token is bound to another key than that of the DPoP proof.", token.JKT, proof.jkt)
	}
	return p.spendProof(r.Context(), proof)
}

// resourceError answers an error at a resource that takes bearer tokens and
// bound ones (RFC 9449 §7.2). scheme is the one that the error is about.
func (p *Provider) resourceError(w http.ResponseWriter, r *http.Request, scheme string, err error) {
	e := p.protocolError(err)
	switch {
	case e.Status >= http.StatusInternalServerError:
		p.tokenError(w, r, err)
		return
	case e.Code == errInvalidProof.ErrorField, e.Code == errUseNonce.ErrorField:
		e.Status = http.StatusUnauthorized // RFC 9449 §7.1, §9
	}
	var challenges []string
	for _, name := range []string{schemeBearer, schemeDPoP} {
		about := e
		if name != scheme {
			about.Code = ""
		}
		challenge := p.challenge(name, about)
		if name == schemeDPoP {
			challenge += fmt.Sprintf(`, algs=%q`, strings.Trim(fmt.Sprint(proofAlgorithms), "[]"))
		}
		challenges = append(challenges, challenge)
	}
	p.writeChallenge(w, r, e, challenges...)
}
