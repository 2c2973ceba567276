package recorder_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/provider/recorder"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func post(t *testing.T, c *http.Client, target, form string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// provider answers with the grant type that it was sent and the headers' names.
func provider(t *testing.T, l *recorder.Log) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(l.Handler("provider", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "Oidclab") {
				t.Errorf("the handler sees %s", name)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"got":%q}`, r.FormValue("grant_type"))
	})))
	t.Cleanup(s.Close)
	return s
}

func TestCallInsideIsRecordedOnce(t *testing.T) {
	l := recorder.New(recorder.Options{})
	s := provider(t, l)
	client := &http.Client{Transport: l.Transport("bff", nil)}
	if got := post(t, client, s.URL, "grant_type=refresh_token"); got != `{"got":"refresh_token"}` {
		t.Errorf("the client reads %s", got)
	}
	settle(t, l)
	list := l.Exchanges()
	if len(list) != 1 {
		t.Fatalf("%d exchanges, want 1: %+v", len(list), list)
	}
	e := list[0]
	if e.From != "bff" || e.To != "provider" || e.Channel != recorder.Back || e.Status != 200 {
		t.Errorf("recorded %+v", e)
	}
	if diff := cmp.Diff([]recorder.Param{{"grant_type", "refresh_token"}}, e.Form); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]recorder.Param{{"got", "refresh_token"}}, e.ResponseParams); diff != "" {
		t.Error(diff)
	}
}

func TestCallOutsideIsRecordedByTheTransport(t *testing.T) {
	l, stranger := recorder.New(recorder.Options{}), recorder.New(recorder.Options{})
	s := provider(t, stranger)
	post(t, &http.Client{Transport: l.Transport("bff", nil)}, s.URL, "grant_type=x")
	settle(t, l)
	host := strings.TrimPrefix(s.URL, "http://")
	if list := l.Exchanges(); len(list) != 1 || list[0].To != host || list[0].Host != host {
		t.Errorf("recorded %+v, want one exchange to %s", list, host)
	}
	settle(t, stranger)
	if list := stranger.Exchanges(); len(list) != 1 || list[0].From != recorder.Outside {
		t.Errorf("the other log has %+v: another log's mark must not count", list)
	}
}

func TestMarkCannotBeForgedOrReused(t *testing.T) {
	l := recorder.New(recorder.Options{})
	s := provider(t, l)
	seen := ""
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = r.Header.Get("Oidclab-Recorded")
		return http.DefaultTransport.RoundTrip(r)
	})
	post(t, &http.Client{Transport: l.Transport("bff", spy)}, s.URL, "grant_type=x")
	if seen == "" {
		t.Fatal("no mark was sent")
	}
	for _, mark := range []string{seen, "forged"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Oidclab-Recorded", mark)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	settle(t, l)
	list := l.Exchanges()
	if len(list) != 3 || list[1].From != recorder.Outside || list[2].From != recorder.Outside {
		t.Errorf("recorded %+v: a stranger hid or took a party's name", list)
	}
}

func TestNoResponse(t *testing.T) {
	down := errors.New("connection refused")
	l := recorder.New(recorder.Options{Parties: map[string]string{"http://op.localhost:1": "provider"}})
	client := &http.Client{Transport: l.Transport("bff", roundTrip(func(*http.Request) (*http.Response, error) { return nil, down }))}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://op.localhost:1/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(r); !errors.Is(err, down) {
		t.Errorf("error %v, want the transport's own", err)
	}
	settle(t, l)
	if list := l.Exchanges(); len(list) != 1 || list[0].Status != 0 || list[0].To != "provider" {
		t.Errorf("recorded %+v", list)
	}
	if r.Header.Get("Oidclab-Recorded") != "" {
		t.Error("the caller's request was changed")
	}
}

func TestResentBodyIsRecordedOnce(t *testing.T) {
	l := recorder.New(recorder.Options{})
	again := roundTrip(func(r *http.Request) (*http.Response, error) {
		_, _ = io.CopyN(io.Discard, r.Body, 5)
		fresh, err := r.GetBody() // as http.Transport does for a connection that died
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, fresh)
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	})
	post(t, &http.Client{Transport: l.Transport("bff", again)}, "http://op.localhost", "grant_type=x&a=b")
	if diff := cmp.Diff([]recorder.Param{{"grant_type", "x"}, {"a", "b"}}, l.Exchanges()[0].Form); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	l := recorder.New(recorder.Options{Capacity: 50})
	s := provider(t, l)
	watched := l.Subscribe(t.Context())
	go func() {
		for range watched {
		}
	}()
	client := &http.Client{Transport: l.Transport("bff", nil)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				post(t, client, s.URL, "grant_type=refresh_token")
				l.Exchanges()
			}
		})
	}
	wg.Wait()
	settle(t, l)
	list := l.Exchanges()
	if len(list) != 50 {
		t.Fatalf("%d exchanges kept, want 50", len(list))
	}
	for i := 1; i < len(list); i++ {
		if list[i].ID <= list[i-1].ID {
			t.Fatalf("exchange %d stands behind %d", list[i].ID, list[i-1].ID)
		}
	}
}
