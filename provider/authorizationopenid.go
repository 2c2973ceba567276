package provider

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"
)

// The checks of this file are those of OpenID Connect.

// checkOpenID reads the parameters of OIDC Core §3.1.2.1.
func (p *Provider) checkOpenID(_ context.Context, a *authorization) error {
	for _, step := range []func(*authorization) error{checkFrontChannelIDToken, checkPrompt, checkMaxAge} {
		if err := step(a); err != nil {
			return err
		}
	}
	return nil
}

// checkFrontChannelIDToken: OIDC Core §3.2.2.1, §3.3.2.1.
func checkFrontChannelIDToken(a *authorization) error {
	section := oidcCore("3.2.2.1", "ImplicitAuthRequest")
	switch {
	case !slices.Contains(a.responseTypes, "id_token"):
		return nil
	case !slices.Contains(a.scopes, scopeOpenID):
		return refuse(fosite.ErrInvalidRequest, check{
			What: "An ID token is asked for without the scope openid.", Expected: "openid in scope", Arrived: a.form.Get("scope"), Section: section,
		})
	case !a.form.Has("nonce"):
		return refuse(fosite.ErrInvalidRequest, check{What: "nonce is missing: the ID token comes through the browser.", Section: section})
	}
	return nil
}

func checkPrompt(a *authorization) error {
	section := oidcCore("3.1.2.1", "AuthRequest")
	a.prompts = splitSpaces(a.form.Get("prompt"))
	for _, prompt := range a.prompts {
		if !slices.Contains(promptValues, prompt) {
			return refuse(fosite.ErrInvalidRequest, check{
				What: "prompt has an unknown value.", Expected: strings.Join(promptValues, ", "), Arrived: prompt, Section: section,
			})
		}
	}
	if a.silent() && len(a.prompts) > 1 {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "prompt=none stands alone.", Expected: "none", Arrived: a.form.Get("prompt"), Section: section,
		})
	}
	return nil
}

func checkMaxAge(a *authorization) error {
	raw := a.form.Get("max_age")
	if raw == "" && a.client.DefaultMaxAge != nil { // OIDC Registration §2
		raw = strconv.Itoa(*a.client.DefaultMaxAge)
	}
	if raw == "" {
		return nil
	}
	seconds, err := strconv.ParseUint(raw, 10, 31)
	if err != nil {
		return refuse(fosite.ErrInvalidRequest, check{
			What: "max_age is not a number of seconds.", Expected: "0 or more", Arrived: raw, Section: oidcCore("3.1.2.1", "AuthRequest"),
		})
	}
	age := time.Duration(seconds) * time.Second
	a.maxAge = &age
	return nil
}

// checkHint verifies id_token_hint: ours, whatever its age and whoever it was
// issued to. OIDC Core §3.1.2.1: it only names the user.
func (p *Provider) checkHint(ctx context.Context, a *authorization) error {
	if !a.form.Has("id_token_hint") {
		return nil
	}
	claims, err := p.idTokenHint(ctx, a.form.Get("id_token_hint"))
	if err != nil {
		return err
	}
	sub, _ := claims["sub"].(string)
	a.subjects = append(a.subjects, []string{sub})
	return nil
}
