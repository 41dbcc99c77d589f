// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"image/color"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	gray  = color.NRGBA{R: 0xe4, G: 0xe7, B: 0xeb, A: 0xff}
	ink   = color.NRGBA{R: 0x24, G: 0x29, B: 0x2f, A: 0xff}
	green = color.NRGBA{R: 0x2d, G: 0xa4, B: 0x4e, A: 0xff}
	red   = color.NRGBA{R: 0xcf, G: 0x22, B: 0x2e, A: 0xff}
)

// The bar under the calls says whether they got a token.
const barTop, barBottom, top = -5, -14, 165

// picture draws the calls of azidentity above those of azhost.
func picture(w io.Writer, theirs, ours []call) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	const width, height = 9 * vg.Inch, 5.2 * vg.Inch
	canvas := vgsvg.New(width, height)
	above, below := panel("azidentity v1.15.0 refreshes a token in its last five minutes", theirs), panel("azhost refreshes a token in the background at half its lifetime", ours)
	below.X.Label.Text = "hours since the first call"
	plots := [][]*plot.Plot{{above}, {below}}
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: 8, PadBottom: 8, PadLeft: 8, PadRight: 14, PadY: 14}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		plots[i][0].Draw(row[0])
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// A browser renders a picture in a page only with the browser's fonts.
	_, err := io.WriteString(w, strings.ReplaceAll(svg.String(), "font-family:Liberation Sans", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
	return err
}

// panel draws one library's calls: how long each took, and below, whether it got a token.
func panel(name string, calls []call) *plot.Plot {
	p := plot.New()
	p.Title.Text = name
	p.Title.TextStyle.Font.Size = 13
	p.Title.TextStyle.Color = ink
	p.Y.Label.Text = "seconds per call"
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, until.Hours(), barBottom, top
	var hours, seconds plot.ConstantTicks
	for h := 0; h <= int(until.Hours()); h += 6 {
		hours = append(hours, plot.Tick{Value: float64(h), Label: number(float64(h), true)})
	}
	for s := 0; s <= 120; s += 30 {
		seconds = append(seconds, plot.Tick{Value: float64(s), Label: number(float64(s), true)})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = hours, seconds
	for _, a := range absences {
		p.Add(box(a.begin.Hours(), a.end.Hours(), 0, top, gray))
		p.Add(label(a.begin.Hours()+0.4, top-13, text.XLeft, "IMDS is down"))
	}
	for i := 0; i < len(calls); {
		run := i + 1
		for run < len(calls) && (calls[run].err == nil) == (calls[i].err == nil) {
			run++
		}
		begin, end, c := calls[i].at.Hours(), until.Hours(), green
		if run < len(calls) {
			end = calls[run].at.Hours()
		}
		if calls[i].err != nil {
			c = red
			p.Add(label((begin+end)/2, 126, text.XCenter, "no token"))
		}
		p.Add(box(begin, end, barBottom, barTop, c), took(calls[i:run], c))
		i = run
	}
	return p
}

// took draws a stem for each call, as high as it took.
func took(calls []call, c color.Color) plot.Plotter {
	points := plotter.XYs{{X: calls[0].at.Hours()}, {X: calls[len(calls)-1].at.Hours()}}
	for _, c := range calls {
		if x := c.at.Hours(); c.took > 0 {
			points = append(points, plotter.XY{X: x}, plotter.XY{X: x, Y: c.took.Seconds()}, plotter.XY{X: x})
		}
	}
	slices.SortStableFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	l, err := plotter.NewLine(points)
	if err != nil {
		panic(err) // a point that is not a number
	}
	l.Color, l.Width = c, 0.4
	return l
}

func box(left, right, bottom, top float64, c color.Color) plot.Plotter {
	b, err := plotter.NewPolygon(plotter.XYs{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
	if err != nil {
		panic(err) // a corner that is not a number
	}
	b.Color, b.LineStyle.Width = c, 0
	return b
}

func label(x, y float64, align text.XAlignment, what string) plot.Plotter {
	l, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: y}}, Labels: []string{what}})
	if err != nil {
		panic(err) // a place that is not a number
	}
	l.TextStyle[0].XAlign, l.TextStyle[0].Color = align, ink
	return l
}
