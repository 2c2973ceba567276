package recorder_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/oidclab/oidclab/provider/recorder"
)

var hidden = regexp.MustCompile(`redacted-[0-9a-f]{8}`)

// Each case sends a secret in one place; the log must not hold it anywhere.
func TestRedaction(t *testing.T) {
	const secret = "the-secret-value"
	form := "Content-Type: application/x-www-form-urlencoded"
	token := jwt(`{"alg":"none"}`, `{"sub":"alice"}`)
	answer := func(contentType, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, text)
		}
	}
	redirect := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
	}
	read := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	type test struct {
		name    string
		request *http.Request
		handler http.HandlerFunc
		secret  string
	}
	tests := []test{
		{"bearer token", request("GET", "/", "", "Authorization: Bearer "+secret), read, secret},
		{"other scheme", request("GET", "/", "", "Authorization: Other "+secret), read, secret},
		{"cookie", request("GET", "/", "", "Cookie: a=1; session="+secret), read, secret},
		{"proof", request("GET", "/", "", "DPoP: "+secret), read, secret},
		{"callback", request("GET", "/callback?state=s&code="+secret, ""), read, secret},
		{"escaped name", request("GET", "/callback?%63ode="+secret, ""), read, secret},
		{"name in capitals", request("GET", "/callback?Code="+secret, ""), read, secret},
		{"token under another name", request("GET", "/?x="+token, ""), read, token},
		{"redirect query", request("GET", "/", ""), redirect("/callback?code=" + secret), secret},
		{"redirect fragment", request("GET", "/", ""), redirect("/callback#id_token=" + secret), secret},
		{"nested URL", request("GET", "/login?return_to="+url.QueryEscape("/authorize?x=1&id_token_hint="+secret), ""), read, secret},
		{"twice nested URL", request("GET", "/?u="+url.QueryEscape("/a?u="+url.QueryEscape("/b#access_token="+secret)), ""), read, secret},
		{"JSON", request("GET", "/", ""), answer("application/json", `{"access_token":"`+secret+`"}`), secret},
		{"nested JSON", request("GET", "/", ""), answer("application/json", `{"session":[{"refresh_token":"`+secret+`"}]}`), secret},
		{"URL in JSON", request("GET", "/", ""), answer("application/json", `{"next":"/callback?code=`+secret+`"}`), secret},
		{"truncated JSON", request("GET", "/", ""), answer("application/json", `{"a":1,"access_token":"`+secret), secret},
		{"sent JSON", request("POST", "/", `{"code":"`+secret+`"}`, "Content-Type: application/json"), read, secret},
		{"nested token", request("GET", "/", ""), answer("application/json", `{"claims":{"jwt":"`+token+`"}}`), token},
		{"set cookie", request("GET", "/", ""), func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: secret, Path: "/"})
		}, secret},
	}
	for _, name := range []string{
		"code", "token", "access_token", "refresh_token", "id_token", "id_token_hint", "subject_token", "logout_token",
		"client_secret", "client_assertion", "assertion", "password", "new_password", "code_verifier", "csrf", "csrf_token",
		"request", "device_code", "user_code", "registration_access_token", "secret",
	} {
		tests = append(tests, test{"form " + name, request("POST", "/", "a=b&"+name+"="+secret, form), read, secret})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := json.Marshal(exchange(t, recorder.Options{}, tt.request, tt.handler))
			if err != nil {
				t.Fatal(err)
			}
			kept := string(text)
			if strings.Contains(kept, tt.secret) {
				t.Errorf("the log holds the value: %s", kept)
			}
			if tt.name != "truncated JSON" && !hidden.MatchString(kept) { // a cut member is not kept at all
				t.Errorf("no placeholder in %s", kept)
			}
		})
	}
}

func TestUnredacted(t *testing.T) {
	kept := fmt.Sprintf("%+v", exchange(t, recorder.Options{Unredacted: true},
		request("GET", "/callback?code=c1", "", "Cookie: session=c2", "Authorization: Bearer c3"), func(http.ResponseWriter, *http.Request) {}))
	for _, value := range []string{"c1", "c2", "c3"} {
		if !strings.Contains(kept, value) {
			t.Errorf("%s is missing in %s", value, kept)
		}
	}
}

func TestRedactionKeepsWhatIsPublic(t *testing.T) {
	r := request("GET", "/authorize?client_id=bff&state=s1&token_type=bearer&token_type_hint=x&return_to=%2Fa%3Fb%3D%2520c", "", "Cookie: a=1; b=2")
	r.SetBasicAuth("bff", "basic-secret")
	e := exchange(t, recorder.Options{}, r, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "v", Path: "/", HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "gone", MaxAge: -1})
	})
	for i, want := range []string{"bff", "s1", "bearer", "x", "/a?b=%20c"} {
		if got := e.Query[i].Value; got != want {
			t.Errorf("%s is %q, want %q", e.Query[i].Name, got, want)
		}
	}
	for i, want := range []string{"Basic bff:*", "a=*; b=*"} {
		if got := hidden.ReplaceAllString(e.Header[i].Value, "*"); got != want {
			t.Errorf("header %q, want %q", got, want)
		}
	}
	for i, want := range []string{"session=*; Path=/; HttpOnly", "gone=; Max-Age=0"} {
		if got := hidden.ReplaceAllString(e.ResponseHeader[i].Value, "*"); got != want {
			t.Errorf("header %q, want %q", got, want)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	sent := "/?code=one&id_token_hint=one&access_token=two"
	a := exchange(t, recorder.Options{}, request("GET", sent, ""), func(http.ResponseWriter, *http.Request) {}).Query
	b := exchange(t, recorder.Options{}, request("GET", sent, ""), func(http.ResponseWriter, *http.Request) {}).Query
	if a[0].Value != a[1].Value {
		t.Error("the same value has two placeholders")
	}
	if a[0].Value == a[2].Value {
		t.Error("two values have the same placeholder")
	}
	if a[0].Value == b[0].Value {
		t.Error("the placeholder is the same in another log: a short value could be found by trying")
	}
}

func TestTokensHaveNoSignature(t *testing.T) {
	token := jwt(`{"alg":"ES256"}`, `{"sub":"alice"}`)
	e := exchange(t, recorder.Options{Unredacted: true}, request("GET", "/", "", "Authorization: Bearer "+token), func(http.ResponseWriter, *http.Request) {})
	signature := token[strings.LastIndex(token, ".")+1:]
	if len(e.Tokens) != 1 || e.Tokens[0].Name != "Authorization" || strings.Contains(fmt.Sprint(e.Tokens), signature) {
		t.Errorf("decoded %+v", e.Tokens)
	}
	for _, not := range []string{"a.b.c", "e30", "e30.e30", "eyJhIjox.e30.x", "e30.W10.x"} {
		e := exchange(t, recorder.Options{}, request("GET", "/?x="+not, ""), func(http.ResponseWriter, *http.Request) {})
		if len(e.Tokens) != 0 {
			t.Errorf("%q was taken for a token", not)
		}
	}
}
