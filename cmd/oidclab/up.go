package main

import "github.com/spf13/cobra"

func (a *app) newUp() *cobra.Command { return &cobra.Command{Use: "up"} }
