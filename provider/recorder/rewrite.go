package recorder

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// mapped returns a copy of the exchange in which each parameter and each
// header has a new value.
func (e Exchange) mapped(param, header func(name, value string) string) Exchange {
	e.Query, e.Form = mapParams(e.Query, param), mapParams(e.Form, param)
	e.ResponseParams = mapParams(e.ResponseParams, param)
	if e.Location != nil {
		to := *e.Location
		to.Query, to.Fragment = mapParams(to.Query, param), mapParams(to.Fragment, param)
		e.Location = &to
	}
	e.Header, e.ResponseHeader = mapParams(e.Header, header), mapParams(e.ResponseHeader, header)
	e.Tokens = slices.Clone(e.Tokens)
	for i := range e.Tokens {
		e.Tokens[i].Header = mapParams(e.Tokens[i].Header, param)
		e.Tokens[i].Payload = mapParams(e.Tokens[i].Payload, param)
	}
	return e
}

func mapParams(list []Param, f func(name, value string) string) []Param {
	list = slices.Clone(list)
	for i, p := range list {
		list[i].Value = f(p.Name, p.Value)
	}
	return list
}

// rewriter gives parameters new values, also those that stand inside another
// one's value: in JSON, or in the query and fragment of a URL such as the page
// to return to.
type rewriter struct {
	value  func(name, value string) string
	escape func(string) string // for a new value inside a URL
}

func (r rewriter) param(name, value string) string {
	if changed := r.value(name, value); changed != value {
		return changed
	}
	if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
		return r.insideJSON(name, value)
	}
	if strings.ContainsAny(value, "?#&") && strings.Contains(value, "=") {
		return r.insideURL(value)
	}
	return value
}

func (r rewriter) insideURL(value string) string {
	var out strings.Builder
	for value != "" {
		pair, separator := value, ""
		if i := strings.IndexAny(value, "?#&"); i >= 0 {
			pair, separator, value = value[:i], value[i:i+1], value[i+1:]
		} else {
			value = ""
		}
		if name, escaped, ok := strings.Cut(pair, "="); ok {
			plain := unescape(escaped)
			if changed := r.param(unescape(name), plain); changed != plain {
				pair = name + "=" + r.escape(changed)
			}
		}
		out.WriteString(pair + separator)
	}
	return out.String()
}

func (r rewriter) insideJSON(name, value string) string {
	dec := json.NewDecoder(strings.NewReader(value))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return value
	}
	changed := false
	tree = walkJSON(name, tree, func(name, value string) string {
		next := r.param(name, value)
		changed = changed || next != value
		return next
	})
	if !changed {
		return value // and its members in their order
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return value
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// walkJSON replaces the strings and numbers of a tree. An array's elements go
// by the array's name.
func walkJSON(name string, tree any, f func(name, value string) string) any {
	switch node := tree.(type) {
	case map[string]any:
		for _, member := range slices.Sorted(maps.Keys(node)) { // a fixed order, for what counts
			node[member] = walkJSON(member, node[member], f)
		}
	case []any:
		for i, value := range node {
			node[i] = walkJSON(name, value, f)
		}
	case string:
		return f(name, node)
	case json.Number:
		if next := f(name, node.String()); next != node.String() {
			return next
		}
	}
	return tree
}
