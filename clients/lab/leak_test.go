package lab_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/lab"
	"github.com/oidclab/oidclab/provider/recorder"
)

// buffer is safe for the many goroutines that write to it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tap keeps what passes through a listener's connections, in clear.
type tap struct {
	net.Listener
	wire buffer
}

func (t *tap) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tappedConn{Conn: conn, wire: &t.wire}, nil
}

type tappedConn struct {
	net.Conn
	wire *buffer
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.wire.Write(p[:n])
	return n, err
}

func (c *tappedConn) Write(p []byte) (int, error) {
	_, _ = c.wire.Write(p)
	return c.Conn.Write(p)
}

// A person signs in through the BFF, calls the API, renews and signs out. What
// was secret on the wire is then in neither the log, at its most talkative, nor
// the recorder.
func TestSecretsStayOutOfLogs(t *testing.T) {
	dir := t.TempDir()
	listener := &tap{Listener: listen(t)}
	var logged buffer
	r := start(t, func(c *lab.Config) {
		c.Listener, c.DataDir = listener, dir
		c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	tab := browsertest.Open(t)
	r.signIn(tab, "bff", "alice")
	tab.Click("#call-api")
	tab.Wait(`#api-result[data-status="200"]`)
	tab.Click("#renew")
	tab.Wait(`body[data-renewals="1"]`)
	tab.Click("#signout")
	tab.Wait(`body[data-state="signed-out"]`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Recorder().Settle(ctx); err != nil {
		t.Fatal(err)
	}
	exchanges := r.Recorder().Exchanges()
	r.stop()

	recorded, err := json.Marshal(exchanges)
	if err != nil {
		t.Fatal(err)
	}
	wire := listener.wire.String()
	for value, what := range secretsOf(t, wire, dir) {
		if strings.Contains(logged.String(), value) {
			t.Errorf("the log holds a %s", what)
		}
		// The cookie of a sign-out holds the state that the URL shows anyway.
		isState := strings.Contains(wire, "state="+value)
		if strings.Contains(string(recorded), value) && !isState {
			t.Errorf("the recorder holds a %s", what)
		}
	}
	if logged.String() == "" {
		t.Error("nothing was logged at all")
	}
	assertBackChannel(t, exchanges)
}

// secretsOf finds the values on the wire that must not be kept, with what each is.
func secretsOf(t *testing.T, wire, dir string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for what, pattern := range map[string]string{
		"token":         `"(?:access_token|refresh_token|id_token)": ?"([^"]+)"`,
		"code":          `[?&]code=([^& \r\n"]+)`,
		"logout token":  `logout_token=([^& \r\n]+)`,
		"code verifier": `code_verifier=([^& \r\n]+)`,
		"cookie":        `(?i)Set-Cookie: [^=]+=([^;\r\n]+)`,
		"bearer token":  `(?i)Authorization: Bearer ([^\r\n]+)`,
		"client secret": `(?i)Authorization: Basic ([^\r\n]+)`,
	} {
		found := 0
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(wire, -1) {
			value := match[1]
			if what == "client secret" {
				if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
					_, value, _ = strings.Cut(string(plain), ":")
				}
			}
			if plain, err := url.QueryUnescape(value); err == nil {
				value = plain
			}
			if len(value) >= 12 { // a shorter one could be in the log by chance
				values[value] = what
				found++
			}
		}
		if found == 0 {
			t.Errorf("no %s on the wire: the test looks for nothing", what)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "lab-secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var secrets map[string]string
	if err := json.Unmarshal(text, &secrets); err != nil {
		t.Fatal(err)
	}
	for client, secret := range secrets {
		values[secret] = "client secret of " + client
	}
	return values
}

// assertBackChannel checks that each call inside the lab is recorded once, and
// by the names of both ends.
func assertBackChannel(t *testing.T, list []recorder.Exchange) {
	t.Helper()
	calls := map[string]int{}
	for _, e := range list {
		calls[e.From+" "+string(e.Channel)+" "+e.To+" "+e.Method+" "+e.Path]++
	}
	for call, want := range map[string]int{
		"bff back provider POST /token":     2, // the code, the renewal
		"browser front provider GET /login": 1,
		"bff back api GET /api/me":          1,

		"provider back bff POST /backchannel-logout": 1,
		"outside back provider POST /token":          0,
		"browser front bff GET /callback":            1,
		"browser front provider POST /consent":       1,
	} {
		if calls[call] != want {
			t.Errorf("%q recorded %d times, want %d", call, calls[call], want)
		}
	}
	if t.Failed() {
		t.Logf("%v", calls)
	}
}

// TestLogsNameTheParty that speaks.
func TestLogsNameTheParty(t *testing.T) {
	var logged buffer
	r := start(t, func(c *lab.Config) { c.Logger = slog.New(slog.NewJSONHandler(&logged, nil)) })
	for party, path := range map[string]string{"provider": "/userinfo", "api": "/api/me", "frontenddriven-backend": "/auth/exchange", "bff": "/callback"} {
		method := http.MethodGet
		if path == "/auth/exchange" {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, r.Origin(party)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.do(t, req)
		said := false
		for line := range strings.Lines(logged.String()) {
			if strings.Contains(line, `"path":"`+path+`"`) {
				said = strings.Contains(line, `"party":"`+party+`"`)
			}
		}
		if !said {
			t.Errorf("%s%s:\n%s", party, path, logged.String())
		}
	}
}
