defmodule ShapeRouter.Bench.Chart do
  @moduledoc "Charts as SVG text: lines over the number of shapes, and bars."

  @width 720
  @height 400
  @left 70
  @right 190
  @top 40
  @bottom 50
  @colours ~w(#1b6ca8 #d1495b #3a7d44 #8f5b9c #b8860b #444444 #00798c #a05a2c)

  @doc """
  Lines, both axes logarithmic: `[{name, [{x, y}]}]`. `unit` names what y is.
  """
  @spec lines(String.t(), String.t(), [{String.t(), [{number(), number()}]}]) :: String.t()
  def lines(title, unit, series) do
    points = for {_, points} <- series, point <- points, do: point
    {xs, ys} = Enum.unzip(points)
    x = scale(Enum.min(xs), Enum.max(xs), @left, @width - @right)
    y = scale(floor_to_ten(Enum.min(ys)), ceil_to_ten(Enum.max(ys)), @height - @bottom, @top)

    drawn =
      for {{name, points}, number} <- Enum.with_index(series) do
        colour = Enum.at(@colours, rem(number, length(@colours)))
        path = Enum.map_join(points, " ", fn {px, py} -> "#{x.(px)},#{y.(py)}" end)
        dots = for {px, py} <- points, do: ~s(<circle cx="#{x.(px)}" cy="#{y.(py)}" r="3"/>)

        [
          ~s(<g fill="#{colour}"><polyline points="#{path}" fill="none" stroke="#{colour}" stroke-width="2"/>),
          dots,
          ~s(<text x="#{@width - @right + 12}" y="#{@top + 18 * number + 10}">#{escape(name)}</text></g>)
        ]
      end

    across =
      for value <- tens(Enum.min(ys), Enum.max(ys)) do
        [
          ~s(<line x1="#{@left}" x2="#{@width - @right}" y1="#{y.(value)}" y2="#{y.(value)}" stroke="#ddd"/>),
          ~s(<text x="#{@left - 8}" y="#{y.(value) + 4}" text-anchor="end">#{number(value)}</text>)
        ]
      end

    below =
      for value <- Enum.uniq(xs) do
        ~s(<text x="#{x.(value)}" y="#{@height - @bottom + 20}" text-anchor="middle">#{number(value)}</text>)
      end

    under = ~s(<text x="#{@left}" y="#{@height - 8}">shapes</text>)
    svg(@height, [heading(title, unit), across, below, under, drawn])
  end

  @doc "Horizontal bars: `[{name, value}]`."
  @spec bars(String.t(), String.t(), [{String.t(), number()}]) :: String.t()
  def bars(title, unit, values) do
    most = values |> Enum.map(&elem(&1, 1)) |> Enum.max()
    left = 300

    drawn =
      for {{name, value}, row} <- Enum.with_index(values) do
        y = @top + 10 + 26 * row
        # Logarithmic from one on, so that both ends can be read.
        length =
          max(2, round((@width - left - 90) * :math.log10(max(value, 1)) / :math.log10(most)))

        [
          ~s(<text x="#{left - 8}" y="#{y + 13}" text-anchor="end">#{escape(name)}</text>),
          ~s(<rect x="#{left}" y="#{y}" width="#{length}" height="18" fill="#{hd(@colours)}"/>),
          ~s(<text x="#{left + length + 6}" y="#{y + 13}">#{number(round(value))}</text>)
        ]
      end

    svg(@top + 26 * length(values) + 30, [heading(title, unit <> ", logarithmic"), drawn])
  end

  defp svg(height, parts) do
    IO.iodata_to_binary([
      ~s(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 #{@width} #{height}" ),
      ~s(font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>),
      parts,
      "</svg>\n"
    ])
  end

  defp heading(title, unit),
    do:
      ~s(<text x="12" y="22" font-size="15">#{escape(title)} <tspan fill="#666">\(#{escape(unit)}\)</tspan></text>)

  # From a value to a place, by its logarithm.
  defp scale(low, high, from, to) do
    span = max(:math.log10(high) - :math.log10(low), 0.001)

    fn value ->
      Float.round(from + (to - from) * (:math.log10(value) - :math.log10(low)) / span, 1)
    end
  end

  defp tens(low, high) do
    for power <- round(:math.log10(floor_to_ten(low)))..round(:math.log10(ceil_to_ten(high))),
        do: round(:math.pow(10, power))
  end

  defp floor_to_ten(value), do: :math.pow(10, Float.floor(:math.log10(value)))
  defp ceil_to_ten(value), do: :math.pow(10, Float.ceil(:math.log10(value)))

  defp number(value) when value >= 1_000_000 and rem(round(value), 1_000_000) == 0,
    do: "#{div(round(value), 1_000_000)}M"

  defp number(value) when value >= 1_000 and rem(round(value), 1_000) == 0,
    do: "#{div(round(value), 1_000)}k"

  defp number(value), do: "#{value}"

  defp escape(text),
    do:
      text
      |> String.replace("&", "&amp;")
      |> String.replace("<", "&lt;")
      |> String.replace(">", "&gt;")
end
