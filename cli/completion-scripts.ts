/** Completion for shells: each script asks `nzcore __complete` with the words up to the cursor. */

const bash = `_nzcore() {
  local value about
  COMPREPLY=()
  while IFS=$'\\t' read -r value about; do
    COMPREPLY+=("$value")
  done < <(nzcore __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _nzcore nzcore
`

const zsh = `#compdef nzcore
_nzcore() {
  local -a candidates
  local line
  for line in "\${(@f)$(nzcore __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#candidates} )); then _describe nzcore candidates; else _files; fi
}
compdef _nzcore nzcore
`

const fish = `complete -c nzcore -a '(nzcore __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`

const pwsh = `Register-ArgumentCompleter -Native -CommandName nzcore -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -eq '') { $words += '' }
  nzcore __complete @words 2>$null | ForEach-Object {
    $value, $about = $_ -split "\`t", 2
    [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $(if ($about) { $about } else { $value }))
  }
}
`

export const completionScripts: Readonly<Record<string, { readonly script: string; readonly install: string }>> = {
  bash: { script: bash, install: 'eval "$(nzcore completion bash)" in ~/.bashrc' },
  zsh: { script: zsh, install: 'eval "$(nzcore completion zsh)" in ~/.zshrc, after compinit' },
  fish: { script: fish, install: 'nzcore completion fish > ~/.config/fish/completions/nzcore.fish' },
  pwsh: { script: pwsh, install: 'nzcore completion pwsh | Out-String | Invoke-Expression in $PROFILE' },
}
