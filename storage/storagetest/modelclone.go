package storagetest

import (
	"maps"
	"slices"

	"github.com/oidclab/oidclab/storage"
)

// The copies that make stored records nobody else's.

func cloneGrant(g storage.Grant) storage.Grant {
	g.Scopes, g.Audience, g.AMR = slices.Clone(g.Scopes), slices.Clone(g.Audience), slices.Clone(g.AMR)
	g.Claims = slices.Clone(g.Claims)
	return g
}

func cloneAccessToken(a storage.AccessToken) storage.AccessToken {
	a.Scopes, a.Audience = slices.Clone(a.Scopes), slices.Clone(a.Audience)
	return a
}

func cloneSession(s storage.Session) storage.Session {
	s.AMR = slices.Clone(s.AMR)
	return s
}

func cloneConsent(c storage.Consent) storage.Consent {
	c.Scopes, c.Claims, c.Resources = slices.Clone(c.Scopes), slices.Clone(c.Claims), slices.Clone(c.Resources)
	return c
}

func cloneKey(k storage.Key) storage.Key {
	k.Material = slices.Clone(k.Material)
	return k
}

func cloneClient(c storage.Client) storage.Client {
	c.Metadata, c.Origins = slices.Clone(c.Metadata), slices.Clone(c.Origins)
	return c
}

func clonePushedRequest(r storage.PushedRequest) storage.PushedRequest {
	r.Form = maps.Clone(r.Form)
	for name, values := range r.Form {
		r.Form[name] = slices.Clone(values)
	}
	return r
}

func cloneDeviceCode(d storage.DeviceCode) storage.DeviceCode {
	d.Scopes, d.Audience = slices.Clone(d.Scopes), slices.Clone(d.Audience)
	return d
}
