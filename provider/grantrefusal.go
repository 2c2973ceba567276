package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/oidclab/oidclab/storage"
)

// Why a code or a refresh token gives nothing. fosite decides that, and has one
// text for many reasons; what follows looks again, when the answer is no, and
// names the check that failed. It never makes a yes of it.
//
// The sentence that is always shown tells a client of its own grants only: what
// another client was given is as good as unknown, whatever became of it. Codes,
// tokens and verifiers stand in no text.

// What the texts are about.
const (
	theCode         = "authorization code"
	theRefreshToken = "refresh token"
	theDeviceCode   = "device code"
)

// How what is none of the client's arrived.
const (
	neverIssued = "one that was never issued, or that is forgotten by now"
	ofAnother   = "one of another client"
)

// whyRefused puts our words in the place of fosite's invalid_grant, if it finds
// out what they are.
func (p *Provider) whyRefused(ctx context.Context, req fosite.AccessRequester, err error) error {
	if _, ours := errors.AsType[*refusal](err); ours || !errors.Is(err, fosite.ErrInvalidGrant) || req == nil || req.GetClient() == nil {
		return err
	}
	var failed check
	switch {
	case req.GetGrantTypes().ExactOne(grantCode):
		failed = p.failedCode(ctx, req)
	case req.GetGrantTypes().ExactOne(grantRefresh):
		failed = p.failedRefresh(ctx, req)
	}
	if failed.What == "" {
		return err
	}
	return refuse(fosite.ErrInvalidGrant, failed)
}

// failedCode is the check that a code fails, in the order of RFC 6749 §4.1.3.
func (p *Provider) failedCode(ctx context.Context, req fosite.AccessRequester) check {
	work, form := workFrom(ctx), req.GetRequestForm()
	code, grant, err := work.code(ctx, opaqueHandle(form.Get("code")))
	if failed := p.failedGrant(ctx, theCode, req, grant, err); failed.What != "" {
		return failed
	}
	switch {
	case !code.UsedAt.IsZero():
		return check{
			What:     "The authorization code was used before: all tokens that came of it are revoked.",
			Expected: "a code that is new", Arrived: "one that was redeemed at " + moment(code.UsedAt), Section: rfc6749("4.1.2"),
		}
	case !grant.RevokedAt.IsZero():
		return revokedGrant(theCode, grant)
	case !work.now.Before(code.ExpiresAt):
		return expiredGrant(theCode, code.ExpiresAt, work.now)
	case grant.RedirectURI != "" && grant.RedirectURI != form.Get("redirect_uri"):
		return check{
			What:     "redirect_uri is not that of the authorization request.",
			Expected: grant.RedirectURI, Arrived: form.Get("redirect_uri"), Section: rfc6749("4.1.3"),
		}
	}
	return failedVerifier(code.CodeChallenge, form.Get("code_verifier"))
}

// failedVerifier is the check of PKCE that a code_verifier fails.
func failedVerifier(challenge, verifier string) check {
	switch {
	case challenge == "" && verifier != "":
		return check{
			What:     "code_verifier has no counterpart: the authorization request had no code_challenge.",
			Expected: "no code_verifier", Arrived: "one", Section: rfc("9700", "4.8.2"),
		}
	case challenge == "":
		return check{}
	case verifier == "":
		return check{
			What:     "code_verifier is missing: the authorization request had a code_challenge.",
			Expected: "the code_verifier that the code_challenge was made of", Section: rfc7636("4.5"),
		}
	case len(verifier) < 43 || len(verifier) > 128:
		return check{
			What:     "code_verifier is too short or too long.",
			Expected: "43 to 128 characters", Arrived: fmt.Sprint(len(verifier)), Section: rfc7636("4.1"),
		}
	case strings.ContainsFunc(verifier, func(r rune) bool { return !isUnreserved(string(r)) }):
		return check{
			What:     "code_verifier holds characters that none may have.",
			Expected: "A-Z a-z 0-9 - . _ ~", Arrived: "others", Section: rfc7636("4.1"),
		}
	case base64SHA256(verifier) != challenge:
		return check{
			What:     "code_verifier does not fit the code_challenge of the authorization request.",
			Expected: "the code_verifier whose SHA-256 is the code_challenge", Arrived: "another", Section: rfc7636("4.6"),
		}
	}
	return check{}
}

// failedRefresh is the check that a refresh token fails, RFC 6749 §6.
func (p *Provider) failedRefresh(ctx context.Context, req fosite.AccessRequester) check {
	token, grant, err := workFrom(ctx).refreshToken(ctx, opaqueHandle(req.GetRequestForm().Get("refresh_token")))
	if failed := p.failedGrant(ctx, theRefreshToken, req, grant, err); failed.What != "" {
		return failed
	}
	switch c := clientOf(req); {
	case !grant.RevokedAt.IsZero():
		return revokedGrant(theRefreshToken, grant)
	case !token.UsedAt.IsZero():
		return check{
			What:     "The refresh token was used before: all tokens of its family are revoked.",
			Expected: "the newest refresh token", Arrived: "one that was replaced at " + moment(token.UsedAt), Section: rfc("9700", "4.14.2"),
		}
	case len(c.stillAllowed([]string{scopeOfflineAccess})) == 0:
		return check{
			What:     "The client may no longer have refresh tokens.",
			Expected: "a client that is registered for " + scopeOfflineAccess, Arrived: "one that is not", Section: oidcCore("11", "OfflineAccess"),
		}
	}
	return check{}
}

// failedGrant is the check of the grant that a code or token stands for: of a
// client that knows it, and of a user who is still there. err is the store's.
func (p *Provider) failedGrant(ctx context.Context, what string, req fosite.AccessRequester, grant storage.Grant, err error) check {
	id := req.GetClient().GetID()
	switch {
	case err != nil:
		return unknownGrant(what, id, neverIssued)
	case grant.ClientID != id:
		return unknownGrant(what, id, ofAnother)
	}
	if _, err := (engineStore{p}).remainingParty(ctx, grant); errors.Is(err, fosite.ErrNotFound) {
		return userIsGone
	}
	return check{}
}

// userIsGone: what a user allowed who is not in the configuration any more.
var userIsGone = check{
	What:     "The user who allowed it is not known any more.",
	Expected: "a grant of a user who is registered", Arrived: "one of a user who is not", Section: rfc6749("5.2"),
}

// unknownGrant is about a code or token that is none of the client's. Which of
// the reasons it is, is for who develops the client.
func unknownGrant(what, clientID, arrived string) check {
	return check{What: "The " + what + " is not known.", Expected: "one that was issued to " + clientID, Arrived: arrived, Section: rfc6749("5.2")}
}

func expiredGrant(what string, expires, now time.Time) check {
	return check{
		What:     "The " + what + " has expired.",
		Expected: "a request before " + moment(expires), Arrived: "one at " + moment(now), Section: rfc6749("5.2"),
	}
}

// lostRace is a precondition that the store found broken when all was decided.
func lostRace(err error) check {
	failed := check{What: "The authorization grant is gone.", Expected: "one that is stored", Arrived: "one that is so no more", Section: rfc6749("5.2")}
	switch {
	case errors.Is(err, storage.ErrUsed):
		failed.What, failed.Expected, failed.Arrived = "The authorization grant was used by another request meanwhile.", "the first request with it", "a later one"
	case errors.Is(err, storage.ErrRevoked):
		failed.What, failed.Expected, failed.Arrived = "The authorization grant was revoked meanwhile.", "one that lives", "one that has just ended"
	}
	return failed
}

func revokedGrant(what string, grant storage.Grant) check {
	return check{
		What:     "The " + what + " was revoked.",
		Expected: "one whose grant lives", Arrived: "one whose grant ended at " + moment(grant.RevokedAt), Section: rfc6749("5.2"),
	}
}
