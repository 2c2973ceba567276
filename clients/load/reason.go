package load

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/html"
)

// reason is why a provider refuses something, as far as its answer says so. It comes
// from outside, so all of it is made short and plain.
type reason struct {
	code  string // OAuth's error, "" if there is none
	words string // OAuth's error_description, or what a page or a text says
	alert string // the words of a page that say what was wrong with what was sent
	again string // the seconds to wait before coming again
}

// reason reads the answer that came last. It is only read where something failed: it
// costs more than the exchange.
func (e *exchange) reason() reason {
	const most = 64 << 10 // bytes
	body := bytes.TrimSpace(e.response.Body())
	body = body[:min(len(body), most)]
	var r reason
	switch media := string(e.response.Header.ContentType()); {
	case bytes.HasPrefix(body, []byte("{")):
		r = objectReason(body)
	case bytes.HasPrefix(body, []byte("<")), strings.Contains(media, "html"):
		r = pageReason(body)
	case strings.HasPrefix(media, "text/plain"):
		line, _, _ := bytes.Cut(body, []byte("\n"))
		r.words = string(line)
	}
	r.code, r.words, r.alert = e.short(r.code), e.plain(r.words), e.plain(r.alert)
	if again := string(e.response.Header.Peek(fasthttp.HeaderRetryAfter)); len(again) < 6 && !strings.ContainsFunc(again, func(c rune) bool { return c < '0' || c > '9' }) {
		r.again = again
	}
	return r
}

// detail is the reason without its code, for a failure that the code is part of.
func (r reason) detail() string {
	if r.again == "" {
		return r.words
	}
	return strings.TrimSpace(r.words + " (Retry-After: " + r.again + " s)")
}

// says appends words to a message of ours, if there are any.
func says(words string) string {
	if words == "" {
		return ""
	}
	return "; it says: " + words
}

// objectReason reads a JSON object: OAuth's (RFC 6749 §5.2), or one like that of RFC 9457.
func objectReason(body []byte) reason {
	var members map[string]any
	_ = json.Unmarshal(body, &members) // then it has none
	text := func(names ...string) string {
		for _, name := range names {
			if s, ok := members[name].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	return reason{code: text("error"), words: text("error_description", "detail", "message", "title")}
}

// pageReason reads a page: where ours has its error, or else an alert, the first
// heading or the title.
func pageReason(page []byte) reason {
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return reason{}
	}
	var r reason
	var description, heading, title string
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		var into *string
		switch id := attribute(node, "id"); {
		case id == "error-code":
			into = &r.code
		case id == "error-description":
			into = &description
		case attribute(node, "role") == "alert":
			into = &r.alert
		case node.Data == "h1", node.Data == "h2", node.Data == "h3":
			into = &heading
		case node.Data == "title":
			into = &title
		default:
			continue
		}
		if *into == "" {
			*into = textOf(node)
		}
	}
	for _, words := range []string{description, r.alert, heading, title} {
		if r.words == "" {
			r.words = words
		}
	}
	return r
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf is what a person reads of an element.
func textOf(node *html.Node) string {
	var text strings.Builder
	for child := range node.Descendants() {
		if hidden := child.Parent.Data; child.Type == html.TextNode && hidden != "script" && hidden != "style" {
			text.WriteString(child.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// random is what a code, a token or a number of one flow looks like; words in small
// letters do not.
var (
	long  = regexp.MustCompile(`[A-Za-z0-9_~+%-]{16,}={0,2}`)
	words = regexp.MustCompile(`^[a-z_-]+$`)
)

// withoutRandom leaves out what belongs to one flow alone, or is secret.
func withoutRandom(s string) string {
	return long.ReplaceAllStringFunc(s, func(part string) string {
		if words.MatchString(part) {
			return part
		}
		return "…"
	})
}

// plain makes words from outside fit for a failure's detail.
func (e *exchange) plain(s string) string {
	const most = 200 // characters
	for _, secret := range e.wire.secrets {
		s = strings.ReplaceAll(s, secret, "…")
	}
	s = strings.Join(strings.Fields(withoutRandom(s)), " ")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

// short makes a code from outside fit for a failure's kind.
func (e *exchange) short(s string) string {
	const most = 40 // characters
	s = e.plain(s)
	s = strings.Map(func(r rune) rune {
		if r != '…' && (r < ' ' || r > '~') {
			return '?'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most])
	}
	return s
}
