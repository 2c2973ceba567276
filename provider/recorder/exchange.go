package recorder

import (
	"net/http"
	"time"
)

// Channel says how a request travelled.
type Channel string

const (
	// Front is a navigation: the browser carries the message from one party
	// to another, by redirect, link or form.
	Front Channel = "front"
	// Script is a call made by the script of a page.
	Script Channel = "script"
	// Back is a call from server to server, or by a native application.
	Back Channel = "back"
)

// Names of callers that are no party of the lab.
const (
	// Browser is the caller on the front channel.
	Browser = "browser"
	// Outside is a program that says nothing about itself.
	Outside = "outside"
)

// Exchange is one request with its response. Its slices are shared between
// all who receive it: read them, do not change them.
type Exchange struct {
	ID       int           // counts the requests in the order in which they began, from 1
	Time     time.Time     // when the request began
	Duration time.Duration // until the response was complete
	From, To string        // names of parties
	Channel  Channel
	Asset    bool // a style sheet, script, image or font of a page

	Method string
	Host   string // with the port
	Path   string
	Query  []Param // in the order of the URL
	Header []Param // of the request: Origin, Authorization, Cookie, DPoP
	Form   []Param // of the body: a form's parameters or a JSON object's members

	Status         int       // 0: there was no response
	ResponseHeader []Param   // Set-Cookie, WWW-Authenticate, Access-Control-Allow-Origin
	Location       *Location // where a redirect leads; nil without one
	ContentType    string    // of the response, without parameters
	ResponseParams []Param   // members of a JSON object in the response

	Tokens    []Token // the JSON Web Tokens which the exchange carried
	Truncated bool    // some text was longer than the recorder keeps
}

// Preflight reports whether the exchange is a CORS preflight.
func (e Exchange) Preflight() bool { return e.Method == http.MethodOptions && e.Channel == Script }

// Param is a name with its value. A JSON value that is no string is its
// compact JSON text.
type Param struct {
	Name, Value string
}

// Location is a redirect's target, taken apart.
type Location struct {
	URL      string // without query and fragment; relative if it was sent so
	Query    []Param
	Fragment []Param
}

// Token is a decoded JSON Web Token without its signature. Payload is empty
// for an encrypted one.
type Token struct {
	Name    string // of the parameter that carried it, "Authorization" for the header
	Header  []Param
	Payload []Param
}

// size estimates the memory that the exchange holds.
func (e Exchange) size() int {
	n := len(e.From) + len(e.To) + len(e.Method) + len(e.Host) + len(e.Path) + len(e.ContentType)
	for _, list := range [][]Param{e.Query, e.Header, e.Form, e.ResponseHeader, e.ResponseParams} {
		n += paramsSize(list)
	}
	if e.Location != nil {
		n += len(e.Location.URL) + paramsSize(e.Location.Query) + paramsSize(e.Location.Fragment)
	}
	for _, t := range e.Tokens {
		n += len(t.Name) + paramsSize(t.Header) + paramsSize(t.Payload)
	}
	return n
}

func paramsSize(list []Param) int {
	n := 0
	for _, p := range list {
		n += len(p.Name) + len(p.Value) + 32 // two string headers
	}
	return n
}
