//go:build !unix

package load

// selfUsage is that of this process, which nobody tells here.
func selfUsage() usage { return usage{} }
