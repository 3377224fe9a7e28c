defmodule ShapeRouter.Demo.Template do
  @moduledoc "A clause with places for values, which a shape fills with literals."

  @enforce_keys [:table, :weight, :clause, :types, :values]
  defstruct [:table, :weight, :clause, :types, :values]

  @type t :: %__MODULE__{
          table: String.t(),
          weight: number(),
          clause: String.t() | nil,
          types: [String.t()],
          values: (() -> [term()])
        }

  @doc "The clause with literals, as a shape is registered with it."
  @spec where(t(), [term()]) :: String.t() | nil
  def where(%{clause: nil}, []), do: nil
  def where(%{clause: clause}, values), do: fill(clause, &literal(Enum.at(values, &1 - 1)))

  @doc "The clause over the columns `p1`, `p2` ... of a table of parameters."
  @spec over_parameters(t()) :: String.t()
  def over_parameters(%{clause: nil}), do: "true"
  def over_parameters(%{clause: clause}), do: "(" <> fill(clause, &"p.p#{&1}") <> ")"

  @doc "Whether it reads the column that the WAL leaves out when it did not change."
  @spec reads_toasted?(t()) :: boolean()
  def reads_toasted?(%{clause: clause}), do: clause != nil and clause =~ ~r/\bbody\b/

  @doc "Whether it has a subquery: then the collector knows the rows, and PostgreSQL is asked shape by shape."
  @spec subquery?(t()) :: boolean()
  def subquery?(%{clause: clause}), do: clause != nil and clause =~ "SELECT"

  @doc "A value as COPY reads it."
  @spec text(term()) :: String.t()
  def text({:raw, text}), do: text
  def text(value), do: to_string(value)

  defp fill(clause, with_what) do
    Regex.replace(~r/\$(\d+)/, clause, fn _, number -> with_what.(String.to_integer(number)) end)
  end

  defp literal({:raw, text}), do: text
  defp literal(number) when is_integer(number), do: Integer.to_string(number)
  defp literal(text), do: "'" <> String.replace(text, "'", "''") <> "'"
end
