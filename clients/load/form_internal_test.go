package load

import (
	"strings"
	"testing"
)

// The pages of other providers, reduced to what matters.
const (
	plainLogin = `<form method="post" action="/login?state=a"><input type="hidden" name="csrf" value="x">
		<input id="username" name="username" type="text"><input id="password" name="password" type="password"><button type="submit">Sign in</button></form>`
	dexLogin = `<form method="post" action="/auth/local?back=&amp;state=a">
		<input tabindex="1" required id="login" name="login" type="text" placeholder="email address"/><input id="password" name="password" type="password"/>
		<button tabindex="3" id="submit-login" type="submit">Login</button></form>`
	dexApproval = `<form method="post"><input type="hidden" name="req" value="a"/><input type="hidden" name="approval" value="approve"><button type="submit">Grant Access</button></form>
		<form method="post"><input type="hidden" name="req" value="a"/><input type="hidden" name="approval" value="rejected"><button type="submit">Cancel</button></form>`
	hydraConsent = `<form action="/consent" method="POST"><input type="hidden" name="challenge" value="a">
		<input type="checkbox" class="grant_scope" id="openid" value="openid" name="grant_scope"><input type="checkbox" id="remember" name="remember" value="1">
		<input type="submit" id="accept" name="submit" value="Allow access"><input type="submit" id="reject" name="submit" value="Deny access"></form>`
	keycloakLogin = `<form id="kc-form-login" action="http://kc/realms/a/login-actions/authenticate?session_code=b" method="post">
		<input tabindex="2" id="username" name="username" value="" type="text" autocomplete="username"><input id="password" name="password" value="" type="password">
		<button type="button" aria-label="Show password"></button><input id="rememberMe" name="rememberMe" type="checkbox">
		<input type="hidden" id="id-hidden-input" name="credentialId"/><button name="login" id="kc-login" type="submit">Sign In</button></form>`
	keycloakConsent = `<form action="/consent" method="POST"><input type="hidden" name="code" value="no-thing">
		<input name="cancel" id="kc-cancel" type="submit" value="No"/><input name="accept" id="kc-login" type="submit" value="Yes"/></form>`
	nodeConsent = `<form autocomplete="off" action="/interaction/a" method="post"><input type="hidden" name="prompt" value="consent"/><button autofocus type="submit">Continue</button></form>`
	otherNames  = `<form method="post" action="/in"><input name="uid" type="text"><input name="tenant" value="a"><input type="password" name="pin">
		<select name="region"><option value="eu">Europe<option value="us" selected>America</option></select><select name="zone"><option disabled>-</option><option> North </option><option>South</option></select>
		<textarea name="note">two
lines</textarea><select name="empty"></select><select disabled name="off"><option>x</option></select><input name="otp"><button>Go</button></form>`
	nameLater  = `<form method="post"><input name="tenant"><input type="password" name="pin"><input name="user"></form>`
	emailFirst = `<form method="post" action="/identify"><input name="identifier" autocomplete="username"><button>Next</button></form>`
	inScript   = `<script>document.write("<form method='post'>")</script><FORM method=POST action=/go><INPUT type=password name=pw><INPUT name=mail></FORM>`
)

func TestForms(t *testing.T) {
	tests := []struct {
		name, page         string
		username, password string
		fields             string // of the form that is chosen
		button             string
	}{
		{"plain", plainLogin, "username", "password", "csrf=x", ""},
		{"dex", dexLogin, "login", "password", "", ""},
		{"dex's approval", dexApproval, "", "", "req=a approval=approve", ""},
		{"Hydra's consent", hydraConsent, "", "", "challenge=a grant_scope=openid", "submit=Allow access"},
		{"Keycloak", keycloakLogin, "username", "password", "credentialId=", "login="},
		{"Keycloak's consent", keycloakConsent, "", "", "code=no-thing", "accept=Yes"},
		{"node-oidc-provider's consent", nodeConsent, "", "", "prompt=consent", ""},
		{"names of its own", otherNames, "uid", "pin", "tenant=a region=us zone=North note=two\nlines otp=", ""},
		{"the name last", nameLater, "user", "pin", "tenant=", ""},
		{"the name first", emailFirst, "identifier", "", "", ""},
		{"a form in a script", inScript, "mail", "pw", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, b := choose(findForms([]byte("<html><head></head><body>" + test.page + "</body></html>")))
			if f == nil {
				t.Fatal("there is none")
			}
			var fields []string
			for _, x := range f.fields {
				fields = append(fields, x.name+"="+x.value)
			}
			pressed := ""
			if b.name != "" {
				pressed = b.name + "=" + b.value
			}
			if f.get || f.username != test.username || f.password != test.password || strings.Join(fields, " ") != test.fields || pressed != test.button {
				t.Errorf("got %+v, pressed %q", *f, pressed)
			}
		})
	}
}

func TestNoForm(t *testing.T) {
	for _, page := range []string{"", "<form", "no page", `<input name="outside"><button>Outside</button>`} {
		if forms := findForms([]byte(page)); len(forms) != 0 {
			t.Errorf("%q: got %+v", page, forms)
		}
	}
	denies := findForms([]byte(`<form method=post><input type=hidden name=a value=deny><button>Go on</button></form><form method=post><button>Cancel</button></form>`))
	if f, _ := choose(denies); len(denies) != 2 || f != nil {
		t.Errorf("got %+v", f)
	}
}
