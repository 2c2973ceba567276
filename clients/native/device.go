package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// The reasons for which a login on another device is refused.
var (
	// ErrNoDeviceGrant says that the server offers no device grant.
	ErrNoDeviceGrant = errors.New("there is no device grant here (RFC 8628 §4)")
	// ErrDeviceResponse says that the server's first answer is of no use.
	ErrDeviceResponse = errors.New("the device authorization response is malformed (RFC 8628 §3.2)")
)

// maxInterval bounds what a server may ask for between two questions, in seconds.
const maxInterval = 3600

// LoginOnDevice signs a person in who has a browser elsewhere: they visit a page
// there and type in a code (RFC 8628). It blocks until they have decided, the code
// has expired, ctx is done or Config.Timeout has passed. Config.Open is not used.
func LoginOnDevice(ctx context.Context, cfg Config) (*Result, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, ErrTimeout)
	defer cancel()
	ctx = oidc.ClientContext(ctx, cfg.HTTPClient) // go-oidc and x/oauth2 both look there

	// 1. Learn where to ask.
	if cfg.Via != "" {
		return nil, fmt.Errorf("%w: a frontend-driven backend redeems codes only", ErrNoDeviceGrant)
	}
	d, err := cfg.discoverIssuer(ctx)
	if err != nil {
		return nil, because(ctx, err)
	}
	config := d.oauth()
	config.Scopes = cfg.Scopes
	if config.Endpoint.DeviceAuthURL == "" {
		return nil, fmt.Errorf("%s: %w", d.meta.Issuer, ErrNoDeviceGrant)
	}

	// 2. Ask for a code for the person, and one for the program. RFC 8628 §3.1.
	codes, err := config.DeviceAuth(ctx)
	if err != nil {
		return nil, because(ctx, deviceError("ask for a code", nil, err))
	}
	if err := cfg.checkDeviceResponse(codes); err != nil {
		return nil, err
	}

	// 3. Tell the person where to type it in. RFC 8628 §3.3.
	cfg.showCode(codes)

	// 4. Ask until they have decided: not before the interval, and less often if
	//    the server says "slow_down". RFC 8628 §3.4, §3.5. There is no nonce and
	//    no verifier: nothing came through a browser of ours.
	config.Scopes = nil // they belong to step 2
	token, err := config.DeviceAccessToken(ctx, codes)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, deviceError("wait for the person", codes, err)
	}

	// 5. and 6. Verify what came: steps 7 and 8 of Login.
	result, err := d.result(ctx, token, "")
	if err != nil {
		return nil, because(ctx, err)
	}
	return result, nil
}

// checkDeviceResponse refuses what cannot be shown, or not be waited for.
func (cfg Config) checkDeviceResponse(codes *oauth2.DeviceAuthResponse) error {
	if codes.DeviceCode == "" || codes.UserCode == "" {
		return fmt.Errorf("%w: a code is missing", ErrDeviceResponse)
	}
	if codes.Interval < 0 || codes.Interval > maxInterval {
		return fmt.Errorf("%w: interval is %d seconds", ErrDeviceResponse, codes.Interval)
	}
	if strings.ContainsFunc(codes.UserCode, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: user_code %q", ErrDeviceResponse, codes.UserCode)
	}
	for _, target := range []string{codes.VerificationURI, cmp.Or(codes.VerificationURIComplete, codes.VerificationURI)} {
		if err := checkURL(target, cfg.InsecureHTTP); err != nil {
			return fmt.Errorf("%w: verification_uri: %w", ErrDeviceResponse, err)
		}
	}
	return nil
}

// showCode prints the code even where a URL holds it: the person compares the two.
func (cfg Config) showCode(codes *oauth2.DeviceAuthResponse) {
	fmt.Fprintf(cfg.Out, "To sign in, visit in any browser\n\n  %s\n\nand type in the code\n\n  %s\n\n", codes.VerificationURI, codes.UserCode)
	if codes.VerificationURIComplete != "" {
		fmt.Fprintf(cfg.Out, "This URL has the code in it:\n\n  %s\n\n", codes.VerificationURIComplete)
	}
}

// deviceError words a refusal: the person's or the server's, or the code's end.
func deviceError(doing string, codes *oauth2.DeviceAuthResponse, err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case ok && refused.ErrorCode == "expired_token", // RFC 8628 §3.5
		codes != nil && !codes.Expiry.IsZero() && !time.Now().Before(codes.Expiry):
		return ErrTimeout
	case ok && (refused.ErrorCode == "access_denied" || codes == nil && refused.ErrorCode != ""):
		return &AuthorizationError{Code: refused.ErrorCode, Description: refused.ErrorDescription}
	case ok:
		return tokenError(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
