package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider/providertest"
)

// trivial is the least that a Go program can do to answer a discovery request: what
// the provider's start is compared with.
const trivial = `package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })
	http.ListenAndServe(os.Args[1], nil)
}
`

// BenchmarkStart measures the built program from its start to its first answers,
// beside a trivial server in the same rounds: what both are late by is the machine's.
// The metrics are medians.
func BenchmarkStart(b *testing.B) {
	program, small := build(b, "."), buildTrivial(b)
	for _, first := range []bool{true, false} {
		name := map[bool]string{true: "first", false: "again"}[first]
		b.Run(name, func(b *testing.B) {
			data := b.TempDir()
			if !first {
				serveOnce(b, program, data) // makes the keys
			}
			var ours []startTimes
			var theirs []float64
			for i := 0; b.Loop(); i++ {
				if first {
					data = filepath.Join(b.TempDir(), strconv.Itoa(i))
				}
				ours = append(ours, serveOnce(b, program, data))
				s := start(b, small, func(addr string) []string { return []string{addr} })
				theirs = append(theirs, s.answers(b))
				s.stop(b)
			}
			discovery := median(ours, func(t startTimes) float64 { return t.discovery })
			trivial := median(theirs, func(ms float64) float64 { return ms })
			b.ReportMetric(discovery, "ms-to-discovery")
			b.ReportMetric(trivial, "ms-of-trivial-server")
			b.ReportMetric(discovery/trivial, "discovery/trivial")
			b.ReportMetric(median(ours, func(t startTimes) float64 { return t.idToken }), "ms-to-ID-token")
			if idle := median(ours, func(t startTimes) float64 { return t.resident }); idle > 0 {
				b.ReportMetric(idle, "MiB-resident")
			}
		})
	}
}

// startTimes are milliseconds from the start, and the memory that the server held
// once it answered, in MiB.
type startTimes struct{ discovery, idToken, resident float64 }

// serveOnce starts the provider, waits for its first answer and its first ID token,
// and stops it.
func serveOnce(b *testing.B, program, data string) startTimes {
	b.Helper()
	s := start(b, program, func(addr string) []string {
		return []string{"serve", "--listen", addr, "--config", "../../testdata/bench.yaml", "--data", data, "--log-level", "error"}
	})
	defer s.stop(b)
	t := startTimes{discovery: s.answers(b)}
	t.resident = residentMiB(s.command.Process.Pid)
	firstIDToken(b, s.url)
	t.idToken = s.since()
	return t
}

// started is a server that was just started.
type started struct {
	command *exec.Cmd
	begun   time.Time
	url     string
}

// start runs a program that listens where it is told to.
func start(b *testing.B, program string, args func(addr string) []string) *started {
	b.Helper()
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close() // for the program; the kernel gives it to nobody else so soon
	command := exec.Command(program, args(addr)...)
	command.Stderr = os.Stderr
	s := &started{command: command, url: "http://localhost:" + strconv.Itoa(portOf(ln.Addr()))}
	s.begun = time.Now()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *started) since() float64 { return float64(time.Since(s.begun)) / float64(time.Millisecond) }

// answers returns the time of the first answer to a discovery request.
func (s *started) answers(b *testing.B) float64 {
	b.Helper()
	tick := time.NewTicker(250 * time.Microsecond)
	defer tick.Stop()
	client := http.Client{Transport: oneRequest(dialLocal(""), nil)}
	for s.since() < 30_000 {
		<-tick.C
		resp, err := client.Get(s.url + "/.well-known/openid-configuration")
		if err != nil {
			continue // it does not listen yet
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("status %d, %v", resp.StatusCode, err)
		}
		return s.since()
	}
	b.Fatalf("%s does not answer", s.url)
	return 0
}

func (s *started) stop(b *testing.B) {
	b.Helper()
	if err := s.command.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = s.command.Wait() // it was killed
}

// firstIDToken signs alice in.
func firstIDToken(b *testing.B, issuer string) {
	b.Helper()
	const redirectURI, verifier = "http://localhost:3000/callback", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	callback := providertest.NewBrowser(b).SignIn(issuer+"/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {"bench"}, "redirect_uri": {redirectURI}, "scope": {"openid"}, "state": {"0123456789"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}.Encode(), "alice", "alice")
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {callback.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	}
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("bench", "bench-secret-bench-secret-bench-secret")
	resp, err := (&http.Client{Transport: oneRequest(dialLocal(""), nil)}).Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		ID string `json:"id_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.ID == "" {
		b.Fatalf("status %d, %v", resp.StatusCode, err)
	}
}

// build builds the package in dir.
func build(b *testing.B, dir string) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "program")
	command := exec.CommandContext(context.WithoutCancel(b.Context()), "go", "build", "-o", program, ".")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v: %s", err, out)
	}
	return program
}

func buildTrivial(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for name, content := range map[string]string{"main.go": trivial, "go.mod": "module trivial\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return build(b, dir)
}

// residentMiB is what a process holds in memory; 0 where /proc does not tell.
func residentMiB(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

func median[T any](all []T, of func(T) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(all), func(x, y T) int { return cmp.Compare(of(x), of(y)) })
	return of(sorted[len(sorted)/2])
}
