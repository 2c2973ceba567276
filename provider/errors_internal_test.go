package provider

import "testing"

// TestExplanation: what is known is shown.
func TestExplanation(t *testing.T) {
	for _, tt := range []struct{ expected, arrived, want string }{
		{"", "", ""},
		{"a", "b", " Expected: a. Arrived: b."},
		{"a", "", " Expected: a. Arrived: nothing."},
		{"", "b", " Arrived: b."},
	} {
		if got := (check{What: "x", Expected: tt.expected, Arrived: tt.arrived}).explanation(); got != tt.want {
			t.Errorf("%q and %q: %q", tt.expected, tt.arrived, got)
		}
	}
}
