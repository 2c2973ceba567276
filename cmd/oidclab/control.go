package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

const defaultControl = "127.0.0.1:8081"

// controlOptions say whether and where the control plane listens.
type controlOptions struct {
	addr, token string
	// pprof serves profiles of the process there, too.
	pprof bool
}

func (o *controlOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.addr, "control", "", "take commands such as \"keys rotate\" on this `ADDRESS`, "+defaultControl+" say (default: nowhere)")
	flags.StringVar(&o.token, "control-token", "", "take them only with this `TOKEN`; without one, only from this machine")
	flags.BoolVar(&o.pprof, "pprof", false, "serve profiles of the process there, at /debug/pprof/")
}

// profiles are the handlers of net/http/pprof, none if nobody asked for them: all but
// that of the command line, which may have a password in it.
func (o *controlOptions) profiles() map[string]http.Handler {
	if !o.pprof {
		return nil
	}
	return map[string]http.Handler{
		"/debug/pprof/":        http.HandlerFunc(pprof.Index),
		"/debug/pprof/profile": http.HandlerFunc(pprof.Profile),
		"/debug/pprof/symbol":  http.HandlerFunc(pprof.Symbol),
		"/debug/pprof/trace":   http.HandlerFunc(pprof.Trace),
	}
}

// controlListener is the control plane's; nil if nobody asked for one.
type controlListener struct {
	net.Listener
	token string
	more  map[string]http.Handler
	tls   *tls.Config
	url   string
}

// openControl listens where the options say. Other machines must have a token;
// what they send is as safe as what they send to the provider.
func (a *app) openControl(ctx context.Context, o *controlOptions, config *tls.Config) (*controlListener, error) {
	if o.addr == "" {
		if o.pprof {
			return nil, errors.New("--pprof serves profiles on the control plane: add --control " + defaultControl)
		}
		return nil, nil //nolint:nilnil // nobody asked for one
	}
	if strings.ContainsFunc(o.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("--control-token must be printable ASCII without spaces")
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s for --control: %w", o.addr, reason(err))
	}
	c := &controlListener{Listener: ln, token: o.token, more: o.profiles(), url: "http://" + ln.Addr().String()}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return c, nil
	}
	if o.token == "" {
		ln.Close()
		return nil, fmt.Errorf("--control %s lets other machines command the provider: add --control-token, or listen on %s", o.addr, defaultControl)
	}
	a.logger.WarnContext(ctx, "other machines can connect to the control plane, with its token", "control", ln.Addr().String())
	if config != nil {
		c.tls, c.url = config, "https://"+ln.Addr().String()
	}
	return c, nil
}

// beside returns serve with the control plane beside it.
func (c *controlListener) beside(a *app, serve func(context.Context) error, control func(token string, more map[string]http.Handler) http.Handler) func(context.Context) error {
	if c == nil {
		return serve
	}
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return serve(ctx) })
		group.Go(func() error { return a.serveUntil(ctx, c.Listener, c.tls, control(c.token, c.more)) })
		return group.Wait()
	}
}

func (c *controlListener) close() {
	if c != nil {
		c.Close()
	}
}

// address is the control plane's URL, "" if there is none.
func (c *controlListener) address() string {
	if c == nil {
		return ""
	}
	return c.url
}

// greet tells a person where it is.
func (c *controlListener) greet(w io.Writer) {
	if c != nil {
		fmt.Fprintf(w, "  control\t%s\n", c.url)
		if c.more != nil {
			fmt.Fprintf(w, "  profiles\t%s/debug/pprof/\n", c.url)
		}
	}
}

// controlClient sends commands to a provider's control plane.
type controlClient struct {
	url, token string
	timeout    time.Duration
}

func (c *controlClient) flags(flags *pflag.FlagSet) {
	flags.StringVar(&c.url, "control", "http://"+defaultControl, "the control plane's `URL`, as the provider says it at its start")
	flags.StringVar(&c.token, "control-token", "", "the control plane's `TOKEN`, if it has one")
	flags.DurationVar(&c.timeout, "timeout", 30*time.Second, "give up after this time")
}

// maxControlAnswer bounds what is read of an answer, in bytes.
const maxControlAnswer = 1 << 20

// call sends a command, nil for none, and returns the JSON of the answer.
func (c *controlClient) call(ctx context.Context, method, path string, command any) ([]byte, error) {
	base := strings.TrimSuffix(c.url, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base // as --control says it where the provider runs
	}
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--control %q is no http or https URL", c.url)
	}
	var body io.Reader = http.NoBody
	if command != nil {
		encoded, err := json.Marshal(command)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	status, answer, err := c.send(req)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %w; a provider takes commands if it is started with --control", base, reason(err))
	}
	return answer, c.problem(base, status, answer)
}

// send sends a request and reads the answer. It follows no redirect: the token is
// for this address.
func (c *controlClient) send(req *http.Request) (status int, answer []byte, err error) {
	config, err := trusting(req.URL.String())
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), c.timeout)
	defer cancel()
	client := http.Client{
		Transport:     oneRequest(dialLocal(""), config),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxControlAnswer))
	return resp.StatusCode, answer, err
}

// problem says why a command was not carried out, nil if it was.
func (c *controlClient) problem(base string, status int, answer []byte) error {
	var refused struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	isJSON := json.Unmarshal(answer, &refused) == nil
	switch {
	case isJSON && status == http.StatusOK:
		return nil
	case isJSON && status == http.StatusUnauthorized && c.token != "":
		return fmt.Errorf("%s has another token than the one in --control-token or OIDCLAB_CONTROL_TOKEN", base)
	case isJSON && status == http.StatusUnauthorized:
		return fmt.Errorf("%s wants its token: give it with --control-token, or in OIDCLAB_CONTROL_TOKEN", base)
	case isJSON && refused.Description != "":
		return fmt.Errorf("%s: %s", base, printable(refused.Description))
	default:
		return fmt.Errorf("%s is not the control plane of a provider: status %d", base, status)
	}
}
