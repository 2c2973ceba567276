package provider

import (
	"net/http"
	"strings"
)

// scopeDescription says what a client may do with a scope, to follow "asks to".
func scopeDescription(name string) string {
	switch name {
	case "openid":
		return "Know who you are"
	case "profile":
		return "See your profile: name, picture, birthday, language and the like"
	case "email":
		return "See your email address"
	case "address":
		return "See your postal address"
	case "phone":
		return "See your phone number"
	case "groups":
		return "See the groups that you belong to"
	case "offline_access":
		return "Keep this access while you are away, until it expires or is revoked"
	default:
		return "Use an API with the permission " + name
	}
}

// claimDescription says the same of a claim that is asked for by its name.
func claimDescription(name string) string {
	switch name {
	case "email_verified":
		return "See whether your email address is verified"
	case "phone_number_verified":
		return "See whether your phone number is verified"
	case "updated_at":
		return "See when your profile was last changed"
	case "zoneinfo":
		return "See your time zone"
	default:
		return "See your " + strings.ReplaceAll(name, "_", " ")
	}
}

// errorWords are the title of an error and the advice for it.
func errorWords(status int, code string) (title, hint string) {
	const atTheApplication = "Start again at the application. If this page comes back, the application sends a wrong request: its makers need the error above."
	if status == http.StatusRequestTimeout { // nobody's program is at fault
		return "The request came too slowly", "Go back and send it again. If this page comes back, look at the connection."
	}
	switch code {
	case "not_found":
		return "Nothing is here", "Check the address, or start at the application that you want to use."
	case "server_error":
		return "The provider failed", "Go back and try again."
	case "temporarily_unavailable":
		return "The provider is busy", "Wait a moment, then load this page again."
	case "access_denied":
		return "Access was denied", atTheApplication
	default:
		return "The request was refused", atTheApplication
	}
}
