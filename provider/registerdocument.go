package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/ory/fosite"
)

// Bounds on a registration. Real ones stay far below.
const (
	maxRegistration = 32 << 10 // bytes
	maxNesting      = 12       // a jwks has four levels
)

// jsonObject are the members of a JSON object.
type jsonObject map[string]json.RawMessage

// has reports whether a member is there. One that is null is as good as left
// out: RFC 7592 §2.2.
func (o jsonObject) has(name string) bool { return len(o[name]) > 0 && string(o[name]) != "null" }

// registrationDocument reads the body of a request: one JSON object (RFC 7591
// §3.1). It is application/json and nothing else, which a form of another site
// cannot send.
func registrationDocument(w http.ResponseWriter, r *http.Request) (jsonObject, error) {
	const want = "application/json"
	section := rfc("7591", "3.1")
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "The client's metadata must be JSON in the body.", Expected: "Content-Type " + want,
			Arrived: r.Header.Get("Content-Type"), Section: section,
		})
	}
	raw, err := readBody(w, r, maxRegistration)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, refuse(fosite.ErrInvalidRequest, check{What: "The body is not UTF-8.", Section: rfc("8259", "8.1")})
	}
	if nesting(raw) > maxNesting {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: fmt.Sprintf("The body has objects or lists within each other more than %d deep.", maxNesting), Section: rfc("8259", "9"),
		})
	}
	// The first reading is the strict one, the second tells the types apart.
	var members jsonObject
	if _, err := parseObject(string(raw)); err != nil || json.Unmarshal(raw, &members) != nil {
		return nil, refuse(fosite.ErrInvalidRequest, check{
			What: "The body is not one JSON object in which every name stands once.", Section: section,
		})
	}
	return members, nil
}

// nesting is how deep objects and lists of a JSON text lie within each other.
func nesting(raw []byte) int {
	depth, deepest, quoted, escaped := 0, 0, false, false
	for _, b := range raw {
		switch {
		case escaped:
			escaped = false
		case b == '\\':
			escaped = quoted
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{', b == '[':
			depth++
			deepest = max(deepest, depth)
		case b == '}', b == ']':
			depth--
		}
	}
	return deepest
}

// clientMembers are the fields of Client that a client may set itself, with their
// JSON names.
var clientMembers = func() (members []clientMember) {
	for field := range reflect.TypeFor[Client]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			members = append(members, clientMember{name, field.Index})
		}
	}
	return members
}()

type clientMember struct {
	name  string
	index []int
}

// decodeMetadata reads those members of a document that Client has. The others
// are ignored (RFC 7591 §2), among them names in other languages (client_name#de).
func decodeMetadata(document jsonObject) (Client, *problem) {
	var c Client
	into := reflect.ValueOf(&c).Elem()
	for _, member := range clientMembers {
		if !document.has(member.name) {
			continue
		}
		if wrong := decodeMember(document[member.name], into.FieldByIndex(member.index)); wrong != "" {
			return c, problemf(member.name, "%s", wrong)
		}
	}
	return c, nil
}

// decodeMember reads one value; wrong says what is wrong with it.
func decodeMember(raw json.RawMessage, field reflect.Value) (wrong string) {
	if err := json.Unmarshal(raw, field.Addr().Interface()); err != nil {
		return "must be " + jsonKinds[field.Kind()]
	}
	switch value := field.Interface().(type) {
	case string:
		return textProblem(value)
	case []string:
		// A null among them would become an empty text.
		if bytes.Contains(raw, []byte("null")) && hasNull(raw) {
			return "must be " + jsonKinds[reflect.Slice]
		}
		for _, text := range value {
			if wrong := textProblem(text); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}

// jsonKinds says what a value must be.
var jsonKinds = map[reflect.Kind]string{
	reflect.String: "text", reflect.Bool: "true or false", reflect.Slice: "a list of texts",
	reflect.Map: "an object", reflect.Pointer: "a whole number",
}

func hasNull(list json.RawMessage) bool {
	var values []any
	if json.Unmarshal(list, &values) != nil {
		return true
	}
	for _, value := range values {
		if value == nil {
			return true
		}
	}
	return false
}

// textProblem says what is wrong with a text that logs and pages will show.
func textProblem(s string) string {
	switch {
	case len(s) > maxParameter:
		return fmt.Sprintf("is longer than %d bytes", maxParameter)
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "holds control characters"
	}
	return ""
}
