defmodule ShapeRouter.Http.Json do
  @moduledoc false
  # The few documents of our own: OTP 25 has no encoder.

  @spec object(keyword(String.t())) :: iolist()
  def object(members) do
    [
      "{",
      members
      |> Enum.map(fn {name, value} -> [string("#{name}"), ":", string(value)] end)
      |> Enum.intersperse(","),
      "}"
    ]
  end

  @spec string(String.t()) :: iolist()
  def string(text) do
    text = if String.valid?(text), do: text, else: inspect(text)
    [?", for(<<char::utf8 <- text>>, do: char(char)), ?"]
  end

  defp char(?"), do: "\\\""
  defp char(?\\), do: "\\\\"

  defp char(char) when char < 32 do
    ["\\u", char |> Integer.to_string(16) |> String.pad_leading(4, "0")]
  end

  defp char(char), do: <<char::utf8>>
end
