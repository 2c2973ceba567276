package provider_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// The OpenID Foundation's certification plans, module by module. A subtest has
// the names of the suite's plan and module and the variant that it runs in:
//
//	go test ./provider -run 'TestConformance/basic/oidcc-codereuse-30seconds'
//
// Each says in Go what the module demands (openid.net/certification), against
// the provider's handler and a browser without scripts, as the suite's is. Where
// the suite waits, testing/synctest moves the clock. conformancekit_test.go has
// the suite's relying party.

// plan is a certification plan.
type plan struct {
	name          string
	responseTypes []string
	formPost      bool
	// registrations are "static_client", "dynamic_client" or both.
	registrations []string
	modules       []suiteModule
}

// suiteModule is a test module of the suite.
type suiteModule struct {
	name string
	run  func(*moduleRun)
	// only are the response types that it runs with; nil: all of the plan's.
	only func(responseType string) bool
	// dynamic says that it runs with dynamic registration alone.
	dynamic bool
}

var (
	anyRegistration = []string{"static_client", "dynamic_client"}
	onlyDynamic     = []string{"dynamic_client"}

	implicitTypes = []string{"id_token", "id_token token"}
	hybridTypes   = []string{"code id_token", "code token", "code id_token token"}
)

// What a response type brings.

func bringsCode(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), "code")
}

func bringsIDToken(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), "id_token")
}

func bringsToken(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), "token")
}

// bringsAccessToken: here or at the token endpoint.
func bringsAccessToken(responseType string) bool { return responseType != "id_token" }

// withoutIDToken: no ID token comes through the browser.
func withoutIDToken(responseType string) bool { return !bringsIDToken(responseType) }

// coreModules are those that the plans for response types share.
var coreModules = []suiteModule{
	{name: "oidcc-server", run: moduleServer},
	{name: "oidcc-response-type-missing", run: moduleResponseTypeMissing},
	{name: "oidcc-idtoken-signature", run: moduleIDTokenSignature, dynamic: true},
	{name: "oidcc-idtoken-unsigned", run: moduleIDTokenUnsigned, dynamic: true, only: func(rt string) bool { return rt == "code" }},
	{name: "oidcc-userinfo-get", run: moduleUserInfoGet, only: bringsAccessToken},
	{name: "oidcc-userinfo-post-header", run: moduleUserInfoPostHeader, only: bringsAccessToken},
	{name: "oidcc-userinfo-post-body", run: moduleUserInfoPostBody, only: bringsAccessToken},
	{name: "oidcc-ensure-request-without-nonce-succeeds-for-code-flow", run: moduleWithoutNonceSucceeds, only: withoutIDToken},
	{name: "oidcc-ensure-request-without-nonce-fails", run: moduleWithoutNonceFails, only: bringsIDToken},
	{name: "oidcc-scope-profile", run: moduleScope("profile")},
	{name: "oidcc-scope-email", run: moduleScope("email")},
	{name: "oidcc-scope-address", run: moduleScope("address")},
	{name: "oidcc-scope-phone", run: moduleScope("phone")},
	{name: "oidcc-scope-all", run: moduleScope("profile", "email", "address", "phone")},
	{name: "oidcc-alternate-happy-flow", run: moduleAlternateHappyFlow},
	{name: "oidcc-display-page", run: moduleAccepts(params{"display": "page"})},
	{name: "oidcc-display-popup", run: moduleAccepts(params{"display": "popup"})},
	{name: "oidcc-prompt-login", run: modulePromptLogin},
	{name: "oidcc-prompt-none-not-logged-in", run: modulePromptNoneNotLoggedIn},
	{name: "oidcc-prompt-none-logged-in", run: modulePromptNoneLoggedIn},
	{name: "oidcc-max-age-1", run: moduleMaxAge1},
	{name: "oidcc-max-age-10000", run: moduleMaxAge10000},
	{name: "oidcc-ensure-request-with-unknown-parameter-succeeds", run: moduleAccepts(params{"extra": "foobar"})},
	{name: "oidcc-id-token-hint", run: moduleIDTokenHint},
	{name: "oidcc-login-hint", run: moduleLoginHint},
	{name: "oidcc-ui-locales", run: moduleAccepts(params{"ui_locales": "se"})},
	{name: "oidcc-claims-locales", run: moduleAccepts(params{"claims_locales": "se"})},
	{name: "oidcc-ensure-request-with-acr-values-succeeds", run: moduleACRValues},
	{name: "oidcc-codereuse", run: moduleCodeReuse(0), only: bringsCode},
	{name: "oidcc-codereuse-30seconds", run: moduleCodeReuse(30), only: bringsCode},
	{name: "oidcc-ensure-registered-redirect-uri", run: moduleRegisteredRedirectURI},
	{name: "oidcc-ensure-post-request-succeeds", run: modulePostRequest, only: func(rt string) bool { return rt == "code" }},
	{name: "oidcc-server-client-secret-post", run: moduleClientSecretPost, only: bringsCode},
	{name: "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", run: moduleUnsignedRequestURI, dynamic: true},
	{name: "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", run: moduleUnsignedRequestObject},
	{name: "oidcc-claims-essential", run: moduleClaimsEssential},
	{name: "oidcc-ensure-request-object-with-redirect-uri", run: moduleUnsignedRequestObject},
	{name: "oidcc-refresh-token", run: moduleRefreshToken, only: bringsCode},
	{name: "oidcc-ensure-request-with-valid-pkce-succeeds", run: modulePKCE, only: bringsCode},
}

func plans() []plan {
	return []plan{
		{"config", []string{"code"}, false, []string{"static_client"}, []suiteModule{{name: "oidcc-discovery-endpoint-verification", run: moduleDiscovery}}},
		{"basic", []string{"code"}, false, anyRegistration, coreModules},
		{"implicit", implicitTypes, false, anyRegistration, coreModules},
		{"hybrid", hybridTypes, false, anyRegistration, coreModules},
		{"formpost-basic", []string{"code"}, true, anyRegistration, coreModules},
		{"formpost-implicit", implicitTypes, true, anyRegistration, coreModules},
		{"formpost-hybrid", hybridTypes, true, anyRegistration, coreModules},
		{"dynamic", []string{"code"}, false, onlyDynamic, dynamicModules},
		{"3rdparty-init-login", []string{"code"}, false, onlyDynamic, thirdPartyModules},
		{"rp-initiated-logout", []string{"code"}, false, anyRegistration, logoutModules},
		{"frontchannel", []string{"code"}, false, anyRegistration, frontChannelModules},
		{"backchannel", []string{"code"}, false, anyRegistration, backChannelModules},
		{"session-management", []string{"code"}, false, anyRegistration, sessionModules},
	}
}

func TestConformance(t *testing.T) {
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			for _, module := range p.modules {
				t.Run(module.name, func(t *testing.T) { p.run(t, module) })
			}
		})
	}
}

// run runs a module in each variant of the plan.
func (p plan) run(t *testing.T, module suiteModule) {
	t.Helper()
	for _, responseType := range p.responseTypes {
		if module.only != nil && !module.only(responseType) {
			continue
		}
		for _, registration := range p.registrations {
			if module.dynamic && registration == "static_client" {
				continue
			}
			name := registration
			if len(p.responseTypes) > 1 {
				name = responseType + "," + registration
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newModuleRun(t, responseType, p.formPost, registration == "dynamic_client")
					module.run(m)
					m.unregister()
				})
			})
		}
	}
}
