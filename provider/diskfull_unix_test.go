//go:build unix

package provider_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/oidclab/oidclab/provider/providertest"
)

// TestDiskFull: while nothing can be written, requests that have to write are
// answered 503 and spend nothing; those that only read are served.
func TestDiskFull(t *testing.T) {
	if !alone(t) {
		return
	}
	op := providertest.Start(t, fastClients())
	if err := op.Provider.Ready(t.Context()); err != nil { // its keys are stored before the disk is full
		t.Fatal(err)
	}
	b := providertest.NewBrowser(t)
	earlier := postForm(t, op.URL()+"/token", redeem(b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice").Query().Get("code")), nil)
	code := b.SignIn(authorizeURL(op, codeRequest()), "alice", "alice").Query().Get("code")

	// 1. No file may be longer than the first pages of the store's.
	lift := limitFiles(t)
	for what, form := range map[string]params{
		"a code": redeem(code), "a refresh token": refreshRequest(earlier.text("refresh_token")),
	} {
		a := postForm(t, op.URL()+"/token", form, nil)
		wantError(t, a, http.StatusServiceUnavailable, "temporarily_unavailable")
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: when to come again is not said", what)
		}
	}
	if a := get(t, op.URL()+"/userinfo", bearer(earlier.text("access_token"))); a.Status != http.StatusOK {
		t.Errorf("userinfo: %d %s", a.Status, a.Raw)
	}
	if a := get(t, op.URL()+"/readyz", nil); a.Status != http.StatusOK {
		t.Errorf("readyz of a store that can go on: %d %s", a.Status, a.Raw)
	}

	// 2. There is space again: what could not be redeemed is as good as before.
	lift()
	for what, form := range map[string]params{
		"the code": redeem(code), "the refresh token": refreshRequest(earlier.text("refresh_token")),
	} {
		a := postForm(t, op.URL()+"/token", form, nil)
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", what, a.Status, a.Raw)
			continue
		}
		if a := get(t, op.URL()+"/userinfo", bearer(a.text("access_token"))); a.Status != http.StatusOK {
			t.Errorf("userinfo with what came of %s: %d %s", what, a.Status, a.Raw)
		}
	}
}

// alone reports whether the test runs in a process of its own, and if not runs it
// in one: what it does to its process must not reach others.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "PROVIDER_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles lets this process write no file beyond 8 KiB, until lift is called.
func limitFiles(t *testing.T) (lift func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	lift = func() { set(before) }
	t.Cleanup(lift)
	limited := before
	limited.Cur = 8 << 10
	set(limited)
	return lift
}
