package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// The tests of this file are about strangers who would like to know users by the
// names that another sector knows: what they may not register, and not make of
// what they registered.

// sectorWithKeys lists the keys of the sector beside its redirect URIs.
const sectorWithKeys = `["http://rp.localhost:1/callback", "` + sectorKeys + `"]`

// devicesOfASector is a client that shows its sector by a key (CIBA Core §4).
func devicesOfASector() document {
	return document{
		"subject_type": "pairwise", "sector_identifier_uri": "https://example.com/sector.json", "jwks_uri": sectorKeys,
		"grant_types": []string{grantDevice}, "token_endpoint_auth_method": "private_key_jwt",
	}
}

// TestRegisterPairwiseDevice: without a redirect the sector has to be shown by a
// key, and each part of that is needed.
func TestRegisterPairwiseDevice(t *testing.T) {
	op, sector := startWithSector(t)
	const grants = "grant_types " + grantDevice + " is for clients of pairwise subjects that authenticate by private_key_jwt"
	redirects := []string{providertest.RedirectURI}
	for _, tt := range []struct {
		name   string
		listed string
		change document
		want   string // "": accepted
	}{
		{"a key that the sector lists", sectorWithKeys, nil, ""},
		{"and redirect URIs", sectorWithKeys, document{"redirect_uris": redirects, "grant_types": []string{grantDevice, "authorization_code"}}, ""},
		{"a key that it does not list", goodSector, nil, "sector_identifier_uri 'https://example.com/sector.json' does not list the jwks_uri '" + sectorKeys + "'"},
		{"the same with a redirect URI that it lists", goodSector, document{"redirect_uris": redirects}, "does not list the jwks_uri"},
		{"a redirect URI that it does not list", sectorWithKeys, document{"redirect_uris": []string{"https://rp.example/"}}, "does not list the redirect URI"},
		{"no authentication", sectorWithKeys, document{"token_endpoint_auth_method": "none"}, grants},
		{"a secret", sectorWithKeys, document{"token_endpoint_auth_method": "client_secret_basic"}, grants},
		{"keys from elsewhere", sectorWithKeys, document{"jwks_uri": nil, "jwks": publicKeys(t, rpKeys()[jose.RS256])}, grants},
		{"no sector", sectorWithKeys, document{"sector_identifier_uri": nil, "redirect_uris": redirects}, grants},
		{"nothing but a redirect URI", sectorWithKeys, document{
			"sector_identifier_uri": nil, "jwks_uri": nil, "token_endpoint_auth_method": "none", "redirect_uris": []string{"https://example.com/"},
		}, grants},
		{"public subjects", "[]", document{"subject_type": nil, "sector_identifier_uri": nil, "jwks_uri": nil, "token_endpoint_auth_method": "none"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sector.answer(http.StatusOK, tt.listed)
			a := register(t, op, devicesOfASector().with(tt.change))
			if tt.want == "" {
				if a.Status != http.StatusCreated {
					t.Errorf("answer %d %s", a.Status, a.Raw)
				}
				return
			}
			wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
			if !strings.HasPrefix(a.text("error_description"), tt.want) && !strings.Contains(a.text("error_description"), " "+tt.want) {
				t.Errorf("got  %s\nwant %s", a.text("error_description"), tt.want)
			}
		})
	}
}

// TestRegisterSectorOfNothing: a document that lists nothing of the client shows
// nothing, and is not asked for.
func TestRegisterSectorOfNothing(t *testing.T) {
	op, sector := startWithSector(t)
	a := register(t, op, document{
		"subject_type": "pairwise", "sector_identifier_uri": "https://example.com/sector.json",
		"token_endpoint_auth_method": "none", "grant_types": []string{"refresh_token"},
	})
	wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
	if want := "sector_identifier_uri lists redirect URIs, and the client has none"; a.text("error_description") != want || sector.fetches.Load() != 0 {
		t.Errorf("%d fetches, and %s", sector.fetches.Load(), a.text("error_description"))
	}
}

// TestPairwiseDeviceSubject: a device of the sector knows a user as its other
// clients do. Who registers the same without the key gets nothing.
func TestPairwiseDeviceSubject(t *testing.T) {
	op, sector := startWithSector(t)
	want := claimsOf(t, dynamicTokens(t, op, registered(t, op, sectorDocument())).text("id_token"))["sub"]
	sector.answer(http.StatusOK, sectorWithKeys)
	client := registered(t, op, devicesOfASector()).text("client_id")
	as := func(alg jose.SignatureAlgorithm) params {
		return asserting(signed(t, alg, rpKeys()[alg], "", "JWT", assertionClaims(op, client)))
	}
	wantError(t, postForm(t, op.URL()+"/device_authorization", as(jose.EdDSA), nil), http.StatusUnauthorized, "invalid_client")
	begun := postForm(t, op.URL()+"/device_authorization", as(jose.ES256).with(params{"grant_type": "", "scope": "openid"}), nil)
	decide(t, begun, "allow")
	poll := pollRequest(begun).with(params{"client_id": client})
	wantError(t, postForm(t, op.URL()+"/token", poll, nil), http.StatusUnauthorized, "invalid_client")
	a := postForm(t, op.URL()+"/token", as(jose.ES256).with(poll), nil)
	if a.Status != http.StatusOK || claimsOf(t, a.text("id_token"))["sub"] != want || want == aliceSubject {
		t.Errorf("want sub %v, got %d %s", want, a.Status, a.Raw)
	}
}

// TestRegisterPairwiseBackChannel: logout tokens name the user, too.
func TestRegisterPairwiseBackChannel(t *testing.T) {
	op, _ := startWithSector(t)
	byHost := publicDocument().with(document{"subject_type": "pairwise"})
	for _, tt := range []struct {
		name     string
		document document
		uri      string
		refused  bool
	}{
		{"the sector's host", byHost, "https://RP.localhost:8443/logout", false},
		{"another's", byHost, "https://evil.example/logout", true},
		{"a sibling's", byHost, "https://a.rp.localhost/logout", true},
		{"the host of the sector's document", sectorDocument(), "https://example.com/logout", false},
		{"the host of a redirect URI", sectorDocument(), "https://other.example/logout", false},
		{"another's, with a document", sectorDocument(), "https://evil.example/logout", true},
		{"another's, and public subjects", publicDocument(), "https://evil.example/logout", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := register(t, op, tt.document.with(document{"backchannel_logout_uri": tt.uri}))
			if !tt.refused {
				if a.Status != http.StatusCreated {
					t.Errorf("answer %d %s", a.Status, a.Raw)
				}
				return
			}
			wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
			if want := "backchannel_logout_uri '" + tt.uri + "' is on no host of the sector"; !strings.HasPrefix(a.text("error_description"), want) {
				t.Errorf("got  %s\nwant %s", a.text("error_description"), want)
			}
		})
	}
}

// TestRegisterPairwiseApp: what stands in the host's place of an app's own scheme
// is nobody's host.
func TestRegisterPairwiseApp(t *testing.T) {
	op, sector := startWithSector(t)
	app := publicDocument().with(document{
		"application_type": "native", "subject_type": "pairwise", "redirect_uris": []string{"com.example.evil://rp.localhost/callback"},
	})
	beside := app.with(document{"redirect_uris": []string{providertest.RedirectURI, "com.example.evil://rp.localhost/callback"}})
	for name, d := range map[string]document{"alone": app, "beside a host": beside} {
		a := register(t, op, d)
		wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
		if !strings.HasPrefix(a.text("error_description"), "sector_identifier_uri is missing") {
			t.Errorf("%s: %s", name, a.text("error_description"))
		}
	}
	sector.answer(http.StatusOK, `["com.example.evil://rp.localhost/callback"]`)
	registered(t, op, app.with(document{"sector_identifier_uri": "https://example.com/sector.json"}))
}

// TestReplaceKeepsTheSector: who has a user's permission cannot change the name
// that it brings.
func TestReplaceKeepsTheSector(t *testing.T) {
	op, sector := startWithSector(t)
	public, byHost := publicDocument(), publicDocument().with(document{"subject_type": "pairwise"})
	const subjectType, sectorURI = "subject_type cannot change", "sector_identifier_uri or the host of the redirect URIs cannot change"
	for _, tt := range []struct {
		name   string
		before document
		change document
		want   string // "": accepted
	}{
		{"pairwise, once public", public, document{"subject_type": "pairwise"}, subjectType},
		{"the same with another's redirect URI", public, document{"subject_type": "pairwise", "redirect_uris": []string{"https://victim.example/"}}, subjectType},
		{"public, once pairwise", byHost, document{"subject_type": "public"}, subjectType},
		{"the default, once pairwise", byHost, document{"subject_type": nil}, subjectType},
		{"another's redirect URI", byHost, document{"redirect_uris": []string{"https://victim.example/"}}, sectorURI},
		{"another's document", byHost, document{"sector_identifier_uri": "https://example.com/sector.json"}, sectorURI},
		{"a document no more", sectorDocument(), document{"sector_identifier_uri": nil, "redirect_uris": []string{providertest.RedirectURI}}, sectorURI},
		{"another port and path", byHost, document{"redirect_uris": []string{"http://rp.localhost:2/elsewhere"}}, ""},
		{"another document of the host", sectorDocument(), document{"sector_identifier_uri": "https://example.com/other.json"}, ""},
		{"another redirect URI of the sector", sectorDocument(), document{"redirect_uris": []string{"https://other.example/callback"}}, ""},
		{"a public client's redirect URI", public, document{"redirect_uris": []string{"https://rp.example/"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sector.answer(http.StatusOK, goodSector)
			client := registered(t, op, tt.before)
			access := dynamicTokens(t, op, client).text("access_token")
			before := get(t, op.URL()+"/userinfo", bearer(access)).text("sub")
			a := manage(t, http.MethodPut, client, update(client, tt.change))
			if tt.want == "" && a.Status != http.StatusOK {
				t.Errorf("answer %d %s", a.Status, a.Raw)
			}
			if tt.want != "" {
				wantError(t, a, http.StatusBadRequest, "invalid_client_metadata")
				if !strings.HasPrefix(a.text("error_description"), tt.want) {
					t.Errorf("got  %s\nwant %s", a.text("error_description"), tt.want)
				}
			}
			if after := get(t, op.URL()+"/userinfo", bearer(access)).text("sub"); after != before || before == "" {
				t.Errorf("sub %q, then %q", before, after)
			}
		})
	}
}

// TestPairwiseOfTheConfiguration: the operator may give what nobody can claim.
func TestPairwiseOfTheConfiguration(t *testing.T) {
	serving(t, provider.Config{Clients: []provider.Client{
		{ID: "a", GrantTypes: []string{grantDevice}, SubjectType: "pairwise", SectorIdentifierURI: "https://sector.example/uris.json"},
		{
			ID: "b", GrantTypes: []string{grantDevice}, SubjectType: "pairwise", RedirectURIs: []string{"https://b.example/"},
			BackchannelLogoutURI: "https://elsewhere.example/logout",
		},
	}})
}
