package provider

import (
	"encoding"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	fileType = reflect.TypeFor[File]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// entryNames are what messages call the entries of a list.
var entryNames = map[reflect.Type]string{
	reflect.TypeFor[Client](): "a client",
	reflect.TypeFor[User]():   "a user",
	reflect.TypeFor[Scope]():  "a scope",
}

// checkShape compares a node with the type that it will be decoded into, so
// that a message can name the line, the key and what was meant. where is what
// messages call the node. (yaml's own KnownFields names the Go type instead.)
func checkShape(n *yaml.Node, t reflect.Type, where string) error {
	n = target(n)
	if n.Tag == "!!null" {
		return nil // as if the key were not there
	}
	switch {
	case reflect.PointerTo(t).Implements(textType):
		return checkText(n, t, where)
	case t.Kind() == reflect.Pointer:
		return checkShape(n, t.Elem(), where)
	case t.Kind() == reflect.Struct:
		return checkStruct(n, t, where)
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return lineErrorf(n, "%s: want a list, got %s", where, kindName(n))
		}
		for _, item := range n.Content {
			name := where
			if entry, ok := entryNames[t.Elem()]; ok {
				name = entry
			}
			if err := checkShape(item, t.Elem(), name); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Map:
		return checkClaims(n, where, where)
	case t.Kind() == reflect.String && n.Tag != "!!str":
		if n.Kind == yaml.ScalarNode {
			return lineErrorf(n, "%s: want text, got %s: put it in quotes", where, kindName(n))
		}
		return lineErrorf(n, "%s: want text, got %s", where, kindName(n))
	case t.Kind() == reflect.Int && n.Tag != "!!int":
		return lineErrorf(n, "%s: want a whole number, got %s", where, kindName(n))
	case t.Kind() == reflect.Bool && n.Tag != "!!bool":
		return lineErrorf(n, "%s: want true or false, got %s", where, kindName(n))
	}
	return nil
}

// checkText lets the type itself read the text.
func checkText(n *yaml.Node, t reflect.Type, where string) error {
	if n.Kind != yaml.ScalarNode {
		return lineErrorf(n, "%s: want text, got %s", where, kindName(n))
	}
	v, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t))
	if !ok {
		return nil // not reached: the caller looked
	}
	if err := v.UnmarshalText([]byte(n.Value)); err != nil {
		return lineErrorf(n, "%s: %w", where, err)
	}
	return nil
}

func checkStruct(n *yaml.Node, t reflect.Type, where string) error {
	if n.Kind != yaml.MappingNode {
		return lineErrorf(n, "%s: want keys and values, got %s", where, kindName(n))
	}
	fields, names := map[string]reflect.Type{}, []string{}
	for field := range t.Fields() {
		name := field.Tag.Get("yaml")
		fields[name], names = field.Type, append(names, name)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" { // "<<: *defaults"
			if err := checkShape(value, t, where); err != nil {
				return err
			}
			continue
		}
		field, known := fields[key.Value]
		if !known {
			return lineErrorf(key, "unknown key %q in %s%s", key.Value, where, suggest(key.Value, names))
		}
		if err := checkShape(value, field, key.Value); err != nil {
			return err
		}
	}
	return nil
}

// checkClaims checks that a user's claims, or a client's jwks, can become JSON as
// they are written. name is the key that holds them all.
func checkClaims(n *yaml.Node, name, where string) error {
	n = target(n)
	if where == name && n.Kind != yaml.MappingNode {
		return lineErrorf(n, "%s: want keys and values, got %s", where, kindName(n))
	}
	for i, child := range n.Content {
		isKey := n.Kind == yaml.MappingNode && i%2 == 0
		if isKey && child.Tag != "!!str" && child.Tag != "!!merge" {
			return lineErrorf(child, "%s: the name %s must be text: put it in quotes", name, child.Value)
		}
		if err := checkClaims(child, name, "in "+name); err != nil {
			return err
		}
	}
	switch n.Tag {
	case "!!timestamp":
		n.Tag = "!!str" // "birthdate: 1990-01-01" means these very characters (OIDC Core §5.1)
	case "!!float":
		if strings.ContainsAny(n.Value, "nNfF") { // .nan, .inf
			return lineErrorf(n, "%s: JSON has no number %s", name, n.Value)
		}
	case "!!binary":
		return lineErrorf(n, "%s: JSON has no binary values", name)
	}
	return nil
}

// kindName names the kind of a value, never the value: it may be a secret.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	default:
		return "text"
	}
}

// suggest names the known key that an unknown one probably means.
func suggest(key string, known []string) string {
	plain := strings.NewReplacer("_", "", "-", "", " ", "")
	got := plain.Replace(strings.ToLower(key))
	best, distance := "", 3 // two slips at most
	for _, name := range known {
		if d := editDistance(got, plain.Replace(name)); d < distance && d < len(name)/2 {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// editDistance is Levenshtein's: how many characters to insert, remove or
// replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
