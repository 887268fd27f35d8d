import { Button, InputGroup, InputGroupItem, TextInput } from '@patternfly/react-core';
import { EyeIcon, EyeSlashIcon } from '@patternfly/react-icons';
import { useState } from 'react';

import { m } from '../messages';

interface PasswordInputProps {
  id: string;
  value: string;
  onChange: (value: string) => void;
  autoComplete: 'current-password' | 'new-password';
  isInvalid?: boolean;
}

export function PasswordInput({ id, value, onChange, autoComplete, isInvalid }: PasswordInputProps) {
  const [isShown, setIsShown] = useState(false);
  return (
    <InputGroup>
      <InputGroupItem isFill>
        <TextInput
          id={id}
          type={isShown ? 'text' : 'password'}
          autoComplete={autoComplete}
          isRequired
          validated={isInvalid ? 'error' : 'default'}
          value={value}
          onChange={(_event, text) => onChange(text)}
        />
      </InputGroupItem>
      <InputGroupItem>
        <Button
          variant="control"
          aria-label={isShown ? m.signIn.hide : m.signIn.show}
          icon={isShown ? <EyeSlashIcon /> : <EyeIcon />}
          onClick={() => setIsShown(!isShown)}
        />
      </InputGroupItem>
    </InputGroup>
  );
}
