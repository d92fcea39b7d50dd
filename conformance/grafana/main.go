// Judges dashboards by Grafana's own schema, as its SDK has it: every field is known and has its type, in the options of each
// kind of panel and in the queries too, and values are within their bounds. Prints what is wrong, one line each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards FILE...")
		os.Exit(2)
	}
	plugins.RegisterDefaultPlugins()
	status := 0
	for _, file := range os.Args[1:] {
		raw, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		panels, wrong := check(raw)
		for _, line := range wrong {
			fmt.Printf("%s: %s\n", file, line)
			status = 1
		}
		if len(wrong) == 0 {
			fmt.Printf("%s: %d panels as Grafana takes them\n", file, panels)
		}
	}
	os.Exit(status)
}

func check(raw []byte) (int, []string) {
	var read dashboard.Dashboard
	wrong := lines(read.UnmarshalJSONStrict(raw))
	// The SDK's strict reader tells what is wrong with panels, and keeps none of them: they are read once more.
	var all struct {
		Panels []json.RawMessage `json:"panels"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return 0, append(wrong, err.Error())
	}
	read.Panels = nil
	count := 0
	for number, raw := range all.Panels {
		var panel dashboard.PanelOrRowPanel
		if err := panel.UnmarshalJSON(raw); err != nil {
			wrong = append(wrong, fmt.Sprintf("panels[%d]: %v", number, err))
			continue
		}
		read.Panels = append(read.Panels, panel)
		if panel.Panel == nil {
			continue
		}
		count++
		if _, known := cog.ConfigForPanelcfgVariant(panel.Panel.Type); !known {
			wrong = append(wrong, fmt.Sprintf("panels[%d]: Grafana has no panel %q", number, panel.Panel.Type))
		}
	}
	return count, append(wrong, lines(read.Validate())...)
}

// What an error of the SDK says; one that is an empty list says nothing.
func lines(err error) []string {
	var several cog.BuildErrors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &several):
		var all []string
		for _, one := range several {
			all = append(all, one.Error())
		}
		return all
	default:
		return []string{err.Error()}
	}
}
