package provider

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// logoutFrames returns what the page after a logout has in its frames: each
// client's frontchannel_logout_uri, its own query kept, with "iss" and "sid"
// (Front-Channel Logout §2, §3).
func (p *Provider) logoutFrames(all []participant) []string {
	var frames []string
	for _, client := range all {
		if client.FrontchannelLogoutURI == "" {
			continue
		}
		if u, err := url.Parse(client.FrontchannelLogoutURI); err == nil { // it was checked at the registration
			frames = append(frames, withQuery(u, url.Values{"iss": {p.issuer}, "sid": {client.sid}}))
		}
	}
	return frames
}

// checkFrontChannelLogout: Front-Channel Logout §2. The origin must be that of
// a redirect URI, or the page would call whom the client names.
func (c *Client) checkFrontChannelLogout() *problem {
	uri := c.FrontchannelLogoutURI
	if uri == "" {
		return nil
	}
	if p := c.checkLogoutURI("frontchannel_logout_uri", uri); p != nil {
		return p
	}
	u, err := url.Parse(uri)
	isOrigin := func(redirectURI string) bool {
		redirect, err := url.Parse(redirectURI)
		return err == nil && webOrigin(redirect) == webOrigin(u)
	}
	if err != nil || !slices.ContainsFunc(c.RedirectURIs, isOrigin) {
		return problemf("frontchannel_logout_uri", "%q has another scheme, host or port than every redirect URI (OpenID Connect Front-Channel Logout §2)", uri)
	}
	return nil
}

// signedOutPage is the end of a logout that leads nowhere else, or only after
// the clients have heard of it in their frames.
type signedOutPage struct {
	StillSignedIn bool   // the user said no
	NobodyIn      bool   // nobody was signed in, or is any more
	Told          bool   // clients are told by the back channel
	ClientName    string // whose ReturnURL and StartURL are
	ReturnURL     string // registered with the client; "": no link
	// StartURL is where a login at the client begins anew, shown where there is
	// no ReturnURL; "": no link.
	StartURL string
	// Frames are loaded, one for each client that hears of the logout by the
	// front channel. After that, the browser goes on to ReturnURL by itself.
	Frames []string
}

// frontChannelScript leaves the page when every frame has loaded, or failed to,
// and does not wait long for those that do neither. It is old-fashioned, for
// simple browsers.
const frontChannelScript = `(function () {
  var back = document.getElementById("return");
  function leave() {
    if (back) { location.replace(back.href); }
    back = null;
  }
  window.onload = leave;
  window.setTimeout(leave, 4000);
})();`

// signedOut answers with the page after the logout.
func (p *pages) signedOut(w http.ResponseWriter, v signedOutPage) {
	back, _ := leaveURL(v.ReturnURL)
	v.StartURL = webURL(v.StartURL)
	page := struct {
		signedOutPage
		ReturnURL  template.URL
		FormTarget string      // where the browser goes by itself; "": it stays
		Script     template.JS // "": there is nothing to wait for
	}{signedOutPage: v, ReturnURL: back}
	policy := policyOfTexts
	if len(v.Frames) > 0 {
		policy += "; frame-src " + strings.Join(frameSources(v.Frames), " ")
		if back != "" {
			page.FormTarget, page.Script = originOf(v.ReturnURL), frontChannelScript
			policy += "; script-src " + p.leaveHash
		}
	}
	p.render(w, "signedout", http.StatusOK, policy, page)
}

// frameSources are the origins of frames for a policy. CSP has no way to write
// an IPv6 address, so for one of those the scheme has to do.
func frameSources(frames []string) []string {
	var sources []string
	for _, frame := range frames {
		u, err := url.Parse(frame)
		if err != nil {
			continue
		}
		source := webOrigin(u)
		if strings.HasPrefix(u.Host, "[") {
			source = u.Scheme + ":"
		}
		if !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return sources
}
