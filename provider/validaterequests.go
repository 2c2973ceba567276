package provider

import (
	"math"
	"slices"
	"strings"
)

// checkRequests: what the registration says of authorization requests.
func (c *Client) checkRequests() *problem {
	switch {
	case c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0:
		return problemf("default_max_age", "%d is negative", *c.DefaultMaxAge)
	case c.DefaultMaxAge != nil && *c.DefaultMaxAge > math.MaxInt32: // as of the parameter (checkMaxAge)
		return problemf("default_max_age", "%d is too large", *c.DefaultMaxAge)
	case slices.ContainsFunc(c.DefaultACRValues, func(acr string) bool { return acr == "" || strings.Contains(acr, " ") }):
		return problemf("default_acr_values", "holds a value that is empty or has spaces")
	}
	return nil
}
