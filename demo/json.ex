defmodule ShapeRouter.Demo.Json do
  @moduledoc "Reads JSON (RFC 8259), as a client of the service does: objects become maps, `null` becomes `nil`."

  @doc "The value that a text is."
  @spec decode!(binary()) :: term()
  def decode!(text) do
    {value, rest} = value(text)

    case skip(rest) do
      "" -> value
      more -> wrong(more)
    end
  end

  defp value(<<?", rest::binary>>), do: string(rest, rest, 0, [])
  defp value(<<?{, rest::binary>>), do: rest |> skip() |> object([])
  defp value(<<?[, rest::binary>>), do: rest |> skip() |> array([])
  defp value("null" <> rest), do: {nil, rest}
  defp value("true" <> rest), do: {true, rest}
  defp value("false" <> rest), do: {false, rest}

  defp value(<<c, _::binary>> = text) when c == ?- or c in ?0..?9 do
    [number] = Regex.run(~r/\A-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/, text)
    rest = binary_part(text, byte_size(number), byte_size(text) - byte_size(number))

    case Integer.parse(number) do
      {integer, ""} -> {integer, rest}
      _ -> {number |> Float.parse() |> elem(0), rest}
    end
  end

  defp value(<<c, rest::binary>>) when c in ' \t\r\n', do: value(rest)
  defp value(other), do: wrong(other)

  defp array("]" <> rest, items), do: {Enum.reverse(items), rest}

  defp array(text, items) do
    {item, rest} = value(text)

    case skip(rest) do
      "," <> rest -> array_item(skip(rest), [item | items])
      "]" <> rest -> {Enum.reverse([item | items]), rest}
      other -> wrong(other)
    end
  end

  defp array_item("]" <> _ = text, _items), do: wrong(text)
  defp array_item(text, items), do: array(text, items)

  defp object("}" <> rest, []), do: {%{}, rest}

  defp object(<<?", rest::binary>>, members) do
    {name, rest} = string(rest, rest, 0, [])
    ":" <> rest = skip(rest)
    {value, rest} = value(rest)
    members = [{name, value} | members]

    case skip(rest) do
      "," <> rest -> rest |> skip() |> object(members)
      "}" <> rest -> {Map.new(members), rest}
      other -> wrong(other)
    end
  end

  defp object(other, _members), do: wrong(other)

  # What needs no change is a part of the text, not a copy of it.
  defp string(<<?", rest::binary>>, from, length, []), do: {binary_part(from, 0, length), rest}

  defp string(<<?", rest::binary>>, from, length, done),
    do: {IO.iodata_to_binary([done, binary_part(from, 0, length)]), rest}

  defp string(<<?\\, rest::binary>>, from, length, done) do
    {character, rest} = escaped(rest)
    string(rest, rest, 0, [done, binary_part(from, 0, length), character])
  end

  defp string(<<_, rest::binary>>, from, length, done), do: string(rest, from, length + 1, done)
  defp string("", from, _length, _done), do: wrong(from)

  for {letter, character} <- [
        {?", "\""},
        {?\\, "\\"},
        {?/, "/"},
        {?b, "\b"},
        {?f, "\f"},
        {?n, "\n"},
        {?r, "\r"},
        {?t, "\t"}
      ] do
    defp escaped(<<unquote(letter), rest::binary>>), do: {unquote(character), rest}
  end

  defp escaped(<<?u, high::binary-4, "\\u", low::binary-4, rest::binary>> = text) do
    with high when high in 0xD800..0xDBFF <- hex(high),
         low when low in 0xDC00..0xDFFF <- hex(low) do
      {<<0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)::utf8>>, rest}
    else
      _ -> plain(text)
    end
  end

  defp escaped(<<?u, _::binary>> = text), do: plain(text)
  defp escaped(other), do: wrong(other)

  defp plain(<<?u, digits::binary-4, rest::binary>>), do: {<<hex(digits)::utf8>>, rest}
  defp plain(other), do: wrong(other)

  defp hex(digits), do: String.to_integer(digits, 16)

  defp skip(<<c, rest::binary>>) when c in ' \t\r\n', do: skip(rest)
  defp skip(rest), do: rest

  @spec wrong(String.t()) :: no_return()
  defp wrong(text), do: raise("this is no JSON: #{inspect(String.slice(text, 0, 60))}")
end
