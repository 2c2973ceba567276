package recorder

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// mediaType is the Content-Type without parameters, "" if there is none that
// can be read.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// keepsBody says which bodies are read. No other is kept.
func keepsBody(mediaType string) bool {
	return mediaType == formType || isJSON(mediaType)
}

func isJSON(mediaType string) bool {
	return mediaType == jsonType || strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

func readBody(mediaType, text string) []Param {
	switch {
	case mediaType == formType:
		return readQuery(text)
	case isJSON(mediaType):
		return readJSON([]byte(text))
	default:
		return nil
	}
}

// readQuery takes a query or form apart in the order in which it was written;
// url.ParseQuery would lose the order. What cannot be unescaped stays as it is.
func readQuery(text string) []Param {
	var list []Param
	for pair := range strings.SplitSeq(clip(text), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, Param{unescape(name), unescape(value)})
	}
	return list
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// readJSON returns the members of an object in the order in which they were
// written, as far as the text can be read; nothing for any other JSON value.
func readJSON(text []byte) []Param {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	var list []Param
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return list
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return list
		}
		list = append(list, Param{name, jsonText(value)})
	}
	return list
}

// jsonText is a string's content, or else compact JSON.
func jsonText(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil && string(value) != "null" {
		return s
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return string(value)
	}
	return compact.String()
}

func readHeader(h http.Header, names ...string) []Param {
	var list []Param
	for _, name := range names {
		for _, value := range h.Values(name) {
			list = append(list, Param{name, clip(value)})
		}
	}
	return list
}

// readLocation takes a Location header apart; nil for an empty one.
func readLocation(text string) *Location {
	if text == "" {
		return nil
	}
	rest, fragment, _ := strings.Cut(clip(text), "#")
	address, query, _ := strings.Cut(rest, "?")
	return &Location{URL: address, Query: readQuery(query), Fragment: readQuery(fragment)}
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// findTokens decodes every JSON Web Token that the exchange carried, each once.
func findTokens(e Exchange) []Token {
	var carried []Param
	for _, h := range e.Header {
		if scheme, value, ok := strings.Cut(h.Value, " "); ok && h.Name == "Authorization" && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")) {
			carried = append(carried, Param{h.Name, value})
		}
		if h.Name == "DPoP" {
			carried = append(carried, h)
		}
	}
	carried = append(append(append(carried, e.Query...), e.Form...), e.ResponseParams...)
	if e.Location != nil {
		carried = append(append(carried, e.Location.Query...), e.Location.Fragment...)
	}
	var tokens []Token
	seen := map[string]bool{}
	for _, p := range carried {
		if t, ok := decodeToken(p); ok && !seen[p.Value] {
			seen[p.Value] = true
			tokens = append(tokens, t)
		}
	}
	return tokens
}

// decodeToken reads a compact JWS (RFC 7515 §7.1) or the header of a compact
// JWE (RFC 7516 §7.1). It verifies nothing.
func decodeToken(p Param) (Token, bool) {
	parts := strings.Split(p.Value, ".")
	if len(parts) != 3 && len(parts) != 5 {
		return Token{}, false
	}
	header, ok := decodePart(parts[0])
	if !ok {
		return Token{}, false
	}
	t := Token{Name: p.Name, Header: header}
	if len(parts) == 3 {
		if t.Payload, ok = decodePart(parts[1]); !ok {
			return Token{}, false
		}
	}
	return t, true
}

func decodePart(part string) ([]Param, bool) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, false
	}
	members := readJSON(text)
	return members, members != nil
}
