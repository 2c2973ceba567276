package recorder_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider/recorder"
)

// jwt makes an unsigned look-alike: the recorder verifies nothing.
func jwt(header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(payload)) + "." + encode([]byte("the signature"))
}

// exchange serves one request under a log as party "provider" and returns
// what the log kept of it.
func exchange(t *testing.T, o recorder.Options, r *http.Request, h http.HandlerFunc) recorder.Exchange {
	t.Helper()
	l := recorder.New(o)
	l.Handler("provider", h).ServeHTTP(httptest.NewRecorder(), r)
	list := l.Exchanges()
	if len(list) != 1 {
		t.Fatalf("%d exchanges recorded, want 1", len(list))
	}
	return list[0]
}

func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func settle(t *testing.T, l *recorder.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsAnExchange(t *testing.T) {
	token := jwt(`{"alg":"ES256","typ":"at+jwt"}`, `{"sub":"alice-0001","aud":["api"],"exp":7}`)
	r := request("POST", "http://op.lab.localhost:8080/token?b=2&a=1", "grant_type=authorization_code&scope=openid+email",
		"Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Mode: cors", "Origin: http://pkce.lab.localhost:8080")
	parties := map[string]string{"http://pkce.lab.localhost:8080": "pkce"}
	got := exchange(t, recorder.Options{Parties: parties, Unredacted: true}, r, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.PostForm.Get("scope") != "openid email" {
			t.Errorf("the handler reads %v, %v", r.PostForm, err)
		}
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.Header().Set("Access-Control-Allow-Origin", "http://pkce.lab.localhost:8080")
		fmt.Fprintf(w, `{"token_type":"bearer","expires_in":600,"access_token":%q,"more":{"b": 1, "a": [true, null]}}`, token)
	})
	if got.Time.IsZero() || got.Duration <= 0 {
		t.Errorf("time %v, duration %v", got.Time, got.Duration)
	}
	got.Time, got.Duration = time.Time{}, 0
	want := recorder.Exchange{
		ID: 1, From: "pkce", To: "provider", Channel: recorder.Script,
		Method: "POST", Host: "op.lab.localhost:8080", Path: "/token",
		Query:          []recorder.Param{{"b", "2"}, {"a", "1"}},
		Header:         []recorder.Param{{"Origin", "http://pkce.lab.localhost:8080"}},
		Form:           []recorder.Param{{"grant_type", "authorization_code"}, {"scope", "openid email"}},
		Status:         200,
		ResponseHeader: []recorder.Param{{"Access-Control-Allow-Origin", "http://pkce.lab.localhost:8080"}},
		ContentType:    "application/json",
		ResponseParams: []recorder.Param{
			{"token_type", "bearer"},
			{"expires_in", "600"},
			{"access_token", token},
			{"more", `{"b":1,"a":[true,null]}`},
		},
		Tokens: []recorder.Token{{
			Name:    "access_token",
			Header:  []recorder.Param{{"alg", "ES256"}, {"typ", "at+jwt"}},
			Payload: []recorder.Param{{"sub", "alice-0001"}, {"aud", `["api"]`}, {"exp", "7"}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLocation(t *testing.T) {
	got := exchange(t, recorder.Options{Unredacted: true}, request("GET", "/authorize", ""), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://app.localhost/callback?x=1#id_token=abc&state=s%201", http.StatusSeeOther)
	})
	want := &recorder.Location{
		URL:      "http://app.localhost/callback",
		Query:    []recorder.Param{{"x", "1"}},
		Fragment: []recorder.Param{{"id_token", "abc"}, {"state", "s 1"}},
	}
	if diff := cmp.Diff(want, got.Location); diff != "" {
		t.Error(diff)
	}
}

func TestCaller(t *testing.T) {
	const page, other = "http://pkce.localhost", "http://evil.localhost:8080"
	tests := []struct {
		name    string
		method  string
		target  string
		headers []string
		from    string
		channel recorder.Channel
		asset   bool
	}{
		{"navigation", "GET", "/authorize", []string{"Sec-Fetch-Mode: navigate"}, "browser", recorder.Front, false},
		{"form sent across origins", "POST", "/login", []string{"Sec-Fetch-Mode: navigate", "Origin: " + other}, "browser", recorder.Front, false},
		{"fetch across origins", "POST", "/token", []string{"Sec-Fetch-Mode: cors", "Origin: " + page}, "pkce", recorder.Script, false},
		{"fetch from a page of no party", "GET", "/userinfo", []string{"Sec-Fetch-Mode: cors", "Origin: " + other}, "evil.localhost:8080", recorder.Script, false},
		{"fetch from a page without origin", "GET", "/userinfo", []string{"Sec-Fetch-Mode: cors", "Origin: null"}, "browser", recorder.Script, false},
		{"fetch of one's own", "GET", "/config.json", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, "provider", recorder.Script, false},
		{"older browser navigates", "GET", "/login", []string{"Accept: text/html,*/*"}, "browser", recorder.Front, false},
		{"older browser fetches", "POST", "/token", []string{"Accept: */*", "Origin: " + page}, "pkce", recorder.Script, false},
		{"style sheet", "GET", "/look", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style"}, "browser", recorder.Front, true},
		{"module", "GET", "/flow.js", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: script"}, "browser", recorder.Front, true},
		{"asset by name", "GET", "/style.css", nil, "outside", recorder.Back, true},
		{"form to the path of an asset", "POST", "/style.css", nil, "outside", recorder.Back, false},
		{"program", "POST", "/token", nil, "outside", recorder.Back, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := recorder.Options{Parties: map[string]string{page: "pkce"}}
			got := exchange(t, o, request(tt.method, tt.target, "", tt.headers...), func(http.ResponseWriter, *http.Request) {})
			if got.From != tt.from || got.Channel != tt.channel || got.Asset != tt.asset {
				t.Errorf("from %q on %q, asset %t; want %q on %q, asset %t", got.From, got.Channel, got.Asset, tt.from, tt.channel, tt.asset)
			}
		})
	}
}

func TestKeepsNoOtherBodies(t *testing.T) {
	got := exchange(t, recorder.Options{Unredacted: true},
		request("POST", "/", "name=value", "Content-Type: multipart/form-data; boundary=x"),
		func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `{"a":"b"}`)
		})
	if got.Form != nil || got.ResponseParams != nil {
		t.Errorf("kept %v and %v", got.Form, got.ResponseParams)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	got := exchange(t, recorder.Options{Unredacted: true},
		request("POST", "/?q="+long, "a=1&b="+long, "Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer "+long),
		func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.PostForm.Get("b") != long {
				t.Errorf("the handler misses a part of the body: %v", err)
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"first":"1","second":%q}`, long)
		})
	const most = 64 << 10
	if !got.Truncated {
		t.Error("not marked as truncated")
	}
	if n := len(got.Form[1].Value); n > most || n < most-10 {
		t.Errorf("kept %d bytes of the form", n)
	}
	if len(got.Query[0].Value) > most || len(got.Header[0].Value) > most {
		t.Errorf("kept %d bytes of the query, %d of a header", len(got.Query[0].Value), len(got.Header[0].Value))
	}
	if diff := cmp.Diff([]recorder.Param{{"first", "1"}}, got.ResponseParams); diff != "" {
		t.Error(diff)
	}
}

func TestHandlerThatWritesNothingOrPanics(t *testing.T) {
	if got := exchange(t, recorder.Options{}, request("GET", "/", ""), func(http.ResponseWriter, *http.Request) {}); got.Status != 200 {
		t.Errorf("status %d of a silent handler, want 200", got.Status)
	}
	l := recorder.New(recorder.Options{})
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the panic did not pass: %v", err)
			}
		}()
		l.Handler("provider", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).
			ServeHTTP(httptest.NewRecorder(), request("GET", "/", ""))
	}()
	settle(t, l)
	if got := l.Exchanges(); len(got) != 1 || got[0].Status != 0 {
		t.Errorf("recorded %+v, want one exchange without a response", got)
	}
}

func TestStreamsPass(t *testing.T) {
	l := recorder.New(recorder.Options{})
	goOn := make(chan struct{})
	server := httptest.NewServer(l.Handler("provider", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "one")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-goOn
		_, _ = io.WriteString(w, "two")
		w.(http.Flusher).Flush()
		<-goOn
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("the writer behind is out of reach: %v", err)
		}
	})))
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, want := range []string{"one", "two"} {
		got := make([]byte, 3)
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
			t.Errorf("read %q, %v before the handler went on; want %q", got, err, want)
		}
		goOn <- struct{}{}
	}
	settle(t, l)
}

func TestEarlyHintsAreNoResponse(t *testing.T) {
	got := exchange(t, recorder.Options{}, request("GET", "/", ""), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNotFound)
	})
	if got.Status != 404 {
		t.Errorf("status %d, want 404", got.Status)
	}
}

func TestCapacity(t *testing.T) {
	l := recorder.New(recorder.Options{Capacity: 3})
	h := l.Handler("provider", http.NotFoundHandler())
	for range 5 {
		h.ServeHTTP(httptest.NewRecorder(), request("GET", "/", ""))
	}
	var ids []int
	for _, e := range l.Exchanges() {
		ids = append(ids, e.ID)
	}
	if diff := cmp.Diff([]int{3, 4, 5}, ids); diff != "" {
		t.Error(diff)
	}
	l.Clear()
	if n := len(l.Exchanges()); n != 0 {
		t.Errorf("%d exchanges after Clear", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	l := recorder.New(recorder.Options{Capacity: 10000})
	h := l.Handler("provider", http.NotFoundHandler())
	target := "/?" + url.Values{"q": {strings.Repeat("x", 60<<10)}}.Encode()
	for range 1000 { // 60 MB in all
		h.ServeHTTP(httptest.NewRecorder(), request("GET", target, ""))
	}
	list := l.Exchanges()
	kept := 0
	for _, e := range list {
		kept += len(e.Query[0].Value)
	}
	if kept > 32<<20 || kept < 30<<20 {
		t.Errorf("%d exchanges hold %d bytes", len(list), kept)
	}
	if list[len(list)-1].ID != 1000 {
		t.Error("the newest is gone")
	}
}

func TestSubscribe(t *testing.T) {
	l := recorder.New(recorder.Options{})
	h := l.Handler("provider", http.NotFoundHandler())
	ctx, cancel := context.WithCancel(t.Context())
	quick, slow := l.Subscribe(ctx), l.Subscribe(ctx)
	const sent = 200
	for i := 1; i <= sent; i++ { // none of the requests waits for the slow one
		h.ServeHTTP(httptest.NewRecorder(), request("GET", "/", ""))
		if e := <-quick; e.ID != i {
			t.Fatalf("received exchange %d, want %d", e.ID, i)
		}
	}
	cancel()
	received := 0
	for range slow { // ends: the channel is closed
		received++
	}
	if l.Dropped() == 0 || received+int(l.Dropped()) != sent {
		t.Errorf("%d received, %d dropped, of %d", received, l.Dropped(), sent)
	}
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "/", ""))
}
