package recorder_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider/recorder"
)

var update = flag.Bool("update", false, "write the golden files")

// play sends a sign-in through a log, made up so that it has one of each kind
// of exchange. What differs from run to run is made from port and run.
func play(t *testing.T, o recorder.Options, port int, run string) []recorder.Exchange {
	t.Helper()
	op, bff := fmt.Sprintf("http://op.lab.localhost:%d", port), fmt.Sprintf("http://bff.lab.localhost:%d", port)
	o.Parties = map[string]string{op: "provider", bff: "bff"}
	l := recorder.New(o)
	send := func(to string, r *http.Request, h http.HandlerFunc) {
		l.Handler(to, h).ServeHTTP(httptest.NewRecorder(), r)
	}
	redirect := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "cookie" + run, Path: "/", HttpOnly: true})
			http.Redirect(w, r, target, http.StatusSeeOther)
		}
	}
	answer := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	const navigate, form = "Sec-Fetch-Mode: navigate", "Content-Type: application/x-www-form-urlencoded"
	authorize := url.Values{"client_id": {"bff"}, "redirect_uri": {bff + "/callback"}, "state": {"st" + run}, "code_challenge": {"cc" + run}}.Encode()
	code, idToken := "c0de"+run, jwt(`{"alg":"RS256","kid":"k`+run+`"}`, `{"iss":"`+op+`","sub":"alice-0001","exp":1`+run+`,"nonce":"n`+run+`","jti":"j`+run+`"}`)

	send("bff", request("POST", bff+"/login", "csrf=x"+run, navigate, form), redirect(op+"/authorize?"+authorize))
	send("provider", request("GET", op+"/authorize?"+authorize, "", navigate), redirect("/login?return_to="+url.QueryEscape("/authorize?"+authorize)))
	send("provider", request("GET", op+"/style.css", "", "Sec-Fetch-Mode: no-cors"), answer(200, ``))
	send("provider", request("POST", op+"/login", "username=alice&password=pw"+run, navigate, form), redirect(bff+"/callback?state=st"+run+"&code="+code))

	op1 := httptest.NewServer(l.Handler("provider", answer(200, `{"access_token":"at`+run+`","expires_in":59`+run+`,"refresh_expires_in":43`+run+`,"id_token":"`+idToken+`","scope":"openid"}`)))
	defer op1.Close()
	client := &http.Client{Transport: l.Transport("bff", roundTrip(func(r *http.Request) (*http.Response, error) {
		r.URL.Host = strings.TrimPrefix(op1.URL, "http://")
		return http.DefaultTransport.RoundTrip(r)
	}))}
	send("bff", request("GET", bff+"/callback?state=st"+run+"&code="+code, "", navigate, "Cookie: session=cookie"+run), func(w http.ResponseWriter, r *http.Request) {
		back, err := http.NewRequestWithContext(t.Context(), http.MethodPost, op+"/token", strings.NewReader("grant_type=authorization_code&code="+code+"&code_verifier=v"+run))
		if err != nil {
			t.Error(err)
			return
		}
		back.SetBasicAuth("bff", "secret"+run)
		back.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(back)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		redirect("/")(w, r)
	})
	send("provider", request("OPTIONS", op+"/userinfo", "", "Sec-Fetch-Mode: cors", "Origin: "+bff), answer(204, ``))
	send("provider", request("GET", op+"/userinfo", "", "Sec-Fetch-Mode: cors", "Origin: "+bff, "Authorization: Bearer at"+run),
		answer(200, `{"sub":"alice-0001","updated_at":17`+run+`,"idle_until":1795000`+run+`,"keys":[{"n":"m`+run+`","e":"AQAB"}],"next":"/x?state=st`+run+`"}`))
	send("provider", request("GET", op+"/logout?id_token_hint="+idToken, "", navigate), answer(400, `{"error":"invalid_request"}`))
	settle(t, l)
	return l.Exchanges()
}

func transcript(t *testing.T, list []recorder.Exchange, o recorder.TranscriptOptions) string {
	t.Helper()
	var out strings.Builder
	if err := recorder.Transcript(&out, list, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTranscript(t *testing.T) {
	got := transcript(t, play(t, recorder.Options{}, 8080, "111"), recorder.TranscriptOptions{})
	golden := filepath.Join("testdata", "transcript.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(got, transcript(t, play(t, recorder.Options{}, 41234, "222"), recorder.TranscriptOptions{})); diff != "" {
		t.Errorf("another run has another transcript:\n%s", diff)
	}
	if diff := cmp.Diff(got, transcript(t, play(t, recorder.Options{Unredacted: true}, 8080, "333"), recorder.TranscriptOptions{})); diff != "" {
		t.Errorf("an unredacted log has another transcript:\n%s", diff)
	}
}

func TestTranscriptOptions(t *testing.T) {
	list := play(t, recorder.Options{}, 8080, "111")
	all := transcript(t, list, recorder.TranscriptOptions{Keep: func(recorder.Exchange) bool { return true }})
	for _, part := range []string{"/style.css", "OPTIONS"} {
		if !strings.Contains(all, part) {
			t.Errorf("%s is missing although all are kept", part)
		}
	}
	got := transcript(t, list, recorder.TranscriptOptions{Volatile: []string{"username"}})
	if strings.Contains(got, "alice\n") || !strings.Contains(got, "username = <username-1>") {
		t.Error("a volatile parameter shows its value")
	}
}

func TestTranscriptLeavesTheLogAlone(t *testing.T) {
	list := play(t, recorder.Options{Unredacted: true}, 8080, "111")
	before := fmt.Sprintf("%+v", list)
	transcript(t, list, recorder.TranscriptOptions{})
	if fmt.Sprintf("%+v", list) != before {
		t.Error("the exchanges were changed")
	}
}
