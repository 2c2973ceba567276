package provider

import (
	"cmp"
	"net/url"
	"strings"
)

// comparableURI is an http or https URL without its query and fragment, in the
// form that RFC 3986 §6.2.2 and §6.2.3 give to all that mean the same; "" for
// anything else. RFC 9449 §4.3 compares "htu" so.
func comparableURI(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return ""
	}
	escaped := decodeUnreserved(u.EscapedPath())
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return ""
	}
	// To resolve a reference is to remove its dot segments (RFC 3986 §5.2.4).
	plain := (&url.URL{}).ResolveReference(&url.URL{Scheme: u.Scheme, Host: strings.TrimSuffix(u.Host, ":"), Path: path, RawPath: escaped})
	return webOrigin(plain) + cmp.Or(plain.EscapedPath(), "/")
}

// decodeUnreserved decodes those percent-encodings that mean the same as the
// character (RFC 3986 §6.2.2.2). The others stay: no path of ours has any, in
// whichever case of letters.
func decodeUnreserved(path string) string {
	var b strings.Builder
	for len(path) > 0 {
		if path[0] != '%' || len(path) < 3 {
			b.WriteByte(path[0])
			path = path[1:]
			continue
		}
		code := path[:3]
		if plain, err := url.PathUnescape(code); err == nil && isUnreserved(plain) {
			code = plain
		}
		b.WriteString(code)
		path = path[3:]
	}
	return b.String()
}

// isUnreserved: RFC 3986 §2.3.
func isUnreserved(char string) bool {
	return len(char) == 1 && strings.ContainsAny(char, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
}
