package load

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// field is one entry of a form as it is submitted.
type field struct{ name, value string }

// form is an HTML form as a browser would submit it.
type form struct {
	action string
	get    bool // method=get, HTML's default
	// fields are those with a value of their own: hidden ones, boxes, what the
	// page filled in already.
	fields []field
	// username and password are the names of the fields to fill in; "" if there
	// is none.
	username, password string
	// text is the place in fields of the text field that came last, and has no value, before
	// the one for the password.
	text int
	// buttons are what can be pressed.
	buttons []button
}

// button is one that submits the form.
type button struct {
	field
	// words are all that a person would judge it by: its text, name, value and id.
	words string
}

// findForms reads the forms of a page. What stands before the first one, styles and
// scripts mostly, is left out if a form to fill in is found without it: to read it
// costs more than all the rest.
func findForms(page []byte) []form {
	if start := bytes.Index(page, []byte("<form")); start >= 0 {
		if forms := scanForms(page[start:]); slices.ContainsFunc(forms, func(f form) bool { return f.password != "" }) {
			return forms
		}
	}
	return scanForms(page)
}

func scanForms(page []byte) []form {
	s := &scanner{tokens: html.NewTokenizer(bytes.NewReader(page))}
	return s.scan()
}

// scanner collects forms from a page's tokens.
type scanner struct {
	tokens *html.Tokenizer
	forms  []form
	open   *form   // the form that is being read
	press  *button // the button whose text is being read
	list   string  // the name of the list that is being read
	first  bool    // its next option is the first one
	write  *field  // the field whose text is being read
}

func (s *scanner) scan() []form {
	for {
		switch s.tokens.Next() {
		case html.ErrorToken: // the end of the page
			for i := range s.forms {
				s.forms[i].takeText()
			}
			return s.forms
		case html.StartTagToken, html.SelfClosingTagToken:
			s.start()
		case html.TextToken:
			s.text(string(s.tokens.Text()))
		case html.EndTagToken:
			s.end()
		}
	}
}

func (s *scanner) start() {
	name, more := s.tokens.TagName()
	switch tag := string(name); tag {
	case "form":
		a := s.attributes(more)
		s.forms = append(s.forms, form{action: a.action, get: !strings.EqualFold(a.method, "post")})
		s.open = &s.forms[len(s.forms)-1]
	case "select", "option", "textarea":
		if s.open != nil {
			s.chosen(tag, s.attributes(more))
		}
	case "input", "button":
		if s.open == nil {
			return
		}
		a := s.attributes(more)
		if tag == "button" || a.kind == "submit" || a.kind == "image" {
			s.button(tag, a)
			return
		}
		s.open.input(a)
	}
}

func (s *scanner) end() {
	name, _ := s.tokens.TagName()
	switch string(name) {
	case "form":
		s.open, s.press, s.write, s.list = nil, nil, nil, ""
	case "button":
		s.press = nil
	case "select":
		s.list = ""
	case "textarea":
		s.write = nil
	}
}

func (s *scanner) text(text string) {
	switch {
	case s.press != nil:
		s.press.words += " " + text
	case s.write != nil && s.list != "":
		s.write.value += strings.TrimSpace(text)
	case s.write != nil:
		s.write.value += text
	}
}

// chosen notes what lists and texts of several lines hold already: of a list the option
// that is selected, or else the first one.
func (s *scanner) chosen(tag string, a attributes) {
	f := s.open
	s.write = nil
	switch {
	case a.disabled, tag == "option" && s.list == "", tag != "option" && a.name == "":
		return
	case tag == "select":
		s.list, s.first = a.name, true
		return
	case tag == "textarea":
		f.fields = append(f.fields, field{name: a.name})
	case s.first:
		f.fields = append(f.fields, field{s.list, a.value})
		s.first = false
	case a.selected:
		f.fields[len(f.fields)-1].value = a.value
	default:
		return
	}
	if !a.valued { // then it is what stands inside
		s.write = &f.fields[len(f.fields)-1]
	}
}

func (s *scanner) button(tag string, a attributes) {
	if tag == "button" && a.kind != "" && a.kind != "submit" {
		return // type=button and type=reset submit nothing
	}
	words := a.name + " " + a.value + " " + a.id
	s.open.buttons = append(s.open.buttons, button{field{a.name, a.value}, words})
	if tag == "button" {
		s.press = &s.open.buttons[len(s.open.buttons)-1]
	}
}

// attributes are those of a tag that matter here.
type attributes struct {
	action, method, kind, name, value, id, complete string
	checked, disabled, selected, valued             bool
}

func (s *scanner) attributes(more bool) attributes {
	var a attributes
	for more {
		var key, value []byte
		key, value, more = s.tokens.TagAttr()
		switch string(key) {
		case "action":
			a.action = string(value)
		case "method":
			a.method = string(value)
		case "type":
			a.kind = strings.ToLower(string(value))
		case "name":
			a.name = string(value)
		case "value":
			a.value, a.valued = string(value), true
		case "id":
			a.id = string(value)
		case "autocomplete":
			a.complete = string(value)
		case "checked":
			a.checked = true
		case "disabled":
			a.disabled = true
		case "selected":
			a.selected = true
		}
	}
	return a
}

// input notes a field. Which one is the username's and which the password's is
// known by its type, its name, its id or what it asks browsers to complete.
func (f *form) input(a attributes) {
	if a.name == "" || a.disabled {
		return
	}
	switch a.kind {
	case "password":
		if f.password == "" {
			f.password = a.name
			return
		}
	case "checkbox", "radio":
		if a.value == "" {
			a.value = "on"
		}
		// Scopes to tick, as consent pages have them, and nothing else: not
		// "remember me".
		if !a.checked && !strings.Contains(strings.ToLower(a.name+a.id), "scope") {
			return
		}
	case "button", "reset", "file":
		return
	case "", "text", "email", "tel":
		if f.username == "" && looksLikeUsername(a) {
			f.username = a.name
			return
		}
		if f.password == "" && a.value == "" {
			f.text = len(f.fields) + 1
		}
	}
	f.fields = append(f.fields, field{a.name, a.value})
}

// takeText makes the empty text field before the password the username's, if none looks
// like it: what else would stand there?
func (f *form) takeText() {
	if f.username == "" && f.password != "" && f.text > 0 {
		f.username = f.fields[f.text-1].name
		f.fields = slices.Delete(f.fields, f.text-1, f.text)
	}
}

func looksLikeUsername(a attributes) bool {
	if a.kind == "email" || a.complete == "username" || a.complete == "email" {
		return true
	}
	for _, said := range []string{a.name, a.id} {
		said = strings.ToLower(said)
		for _, word := range []string{"user", "login", "email", "mail", "account", "identifier"} {
			if strings.Contains(said, word) {
				return true
			}
		}
	}
	return false
}

// refusals are words of buttons that refuse what a page asks for.
var refusals = []string{"deny", "cancel", "reject", "refuse", "decline", "abort", "disallow", "back", "no"}

// refuses reports whether the button looks like one that refuses.
func (b *button) refuses() bool {
	for _, word := range strings.FieldsFunc(strings.ToLower(b.words), func(r rune) bool { return !isLetter(r) }) {
		for _, refusal := range refusals {
			if word == refusal || len(refusal) > 4 && strings.HasPrefix(word, refusal) {
				return true
			}
		}
	}
	return false
}

// isWord tells a word from the random values that forms carry, too.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isLetter(r) })
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// allows reports whether the form can say yes, and by which button. A form whose
// hidden fields say no does so whatever its button is called.
func (f *form) allows() (field, bool) {
	for _, hidden := range f.fields {
		if b := (button{words: hidden.value}); isWord(hidden.value) && b.refuses() {
			return field{}, false
		}
	}
	for _, b := range f.buttons {
		if !b.refuses() {
			return b.field, true
		}
	}
	return field{}, len(f.buttons) == 0
}

// asksWho reports whether the form asks who somebody is.
func (f *form) asksWho() bool { return f.password != "" || f.username != "" }

// choose returns the form to submit and the button to press: the one that asks for a
// password, or else for a name, or else the first one that can say yes.
func choose(forms []form) (*form, field) {
	for _, wanted := range []func(*form) bool{
		func(f *form) bool { return f.password != "" },
		func(f *form) bool { return f.username != "" },
		func(*form) bool { return true },
	} {
		for i := range forms {
			if pressed, ok := forms[i].allows(); ok && wanted(&forms[i]) {
				return &forms[i], pressed
			}
		}
	}
	return nil, field{}
}
