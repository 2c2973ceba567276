package browsertest

import (
	"context"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Intercept keeps the tab from loading the next URL that begins with prefix
// while during runs, and returns that URL, fragment included.
func (tab *Tab) Intercept(prefix string, during func()) string {
	tab.t.Helper()
	ctx, stop := context.WithCancel(tab.ctx)
	defer stop()
	paused := make(chan *fetch.EventRequestPaused, 1)
	err := chromedp.Listen(ctx, func(event any) {
		if request, ok := event.(*fetch.EventRequestPaused); ok {
			select {
			case paused <- request:
			default: // one is enough
			}
		}
	})
	if err != nil {
		tab.t.Fatal(err)
	}
	enable := fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: prefix + "*"}}}
	if _, err := chromedp.Call(ctx, fetch.Enable, enable); err != nil {
		tab.t.Fatal(err)
	}
	during()
	select {
	case request := <-paused:
		_, err = chromedp.Call(ctx, fetch.FailRequest, fetch.FailRequestParams{RequestID: request.RequestID, ErrorReason: network.ErrorReasonAborted})
		if err == nil {
			_, err = chromedp.Call(ctx, fetch.Disable, cdp.Empty{})
		}
		if err != nil {
			tab.t.Fatal(err)
		}
		return request.Request.URL + request.Request.URLFragment
	case <-time.After(patience): // counted from here: during waits for its own steps
		tab.t.Fatalf("nothing was loaded from %s", prefix)
		return ""
	}
}
